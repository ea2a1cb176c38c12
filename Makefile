# make demo: see netprobe at work. make test: everything that this machine can run. Both set up what is missing.
VENV := .venv/bin
.PHONY: demo test check bench setup clean

demo:
	@scripts/setup demo
	@$(VENV)/python scripts/demo.py

test:
	@scripts/setup test
	$(VENV)/python -m pytest

check:
	@scripts/setup test
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/python -m pytest -q tests/test_imports.py

bench:
	@scripts/setup bench
	$(VENV)/python bench/run.py

clean:
	rm -rf .venv .setup.log out build dist .mypy_cache .ruff_cache .pytest_cache
