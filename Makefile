# make demo: all commands on real servers. make test: all tests that this machine can run. Both install missing packages.
VENV := .venv/bin
.PHONY: demo test test-kernels check bench truth docs notebook setup clean

demo:
	@scripts/setup demo
	@$(VENV)/python scripts/demo.py

test:
	@scripts/setup test
	$(VENV)/python -m pytest -n 2 -m "not kernel and not timing"
	$(VENV)/python -m pytest -n 2 --dist loadfile -m "kernel and not timing"
	$(VENV)/python -m pytest -m timing

# Stock kernels 6.1 and 6.12 in virtual machines; without KVM it takes 15 minutes.
test-kernels:
	@scripts/test-kernels

check:
	@scripts/setup test
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/python -m pytest -q tests/test_imports.py

bench:
	@scripts/setup bench
	$(VENV)/python bench/run.py

truth:
	@scripts/setup bench
	$(VENV)/python bench/truth.py

docs:
	@scripts/setup docs
	rm -rf out/docs
	$(VENV)/sphinx-build -W --keep-going -q docs out/docs
	@echo "Open out/docs/index.html"

notebook:
	@scripts/setup notebook
	$(VENV)/jupyter lab dashboards

clean:
	rm -rf .venv .setup.log out build dist .mypy_cache .ruff_cache .pytest_cache
