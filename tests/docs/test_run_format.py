"""The page on the Run format names every table and every column that Runs have, and no others."""

import re
from pathlib import Path

import pytest

import netprobe

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "run-format.md").read_text()
THREAD = {"pid", "tid", "process", "thread"}
RUNS = [ROOT / "dashboards" / "runs" / "faulty", ROOT / "tests" / "data" / "runs" / "recv"]


def documented():
    """Table -> names in code type in its section; `thread columns` are four of them."""
    sections = re.split(r"^### (\w+)$", PAGE, flags=re.MULTILINE)[1:]
    found = {}
    for name, text in zip(sections[::2], sections[1::2], strict=True):
        body = text.split("\n## ")[0]
        found[name] = set(re.findall(r"`(\w+)`", body)) | (THREAD if "thread columns" in body else set())
    return found


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_every_table_and_column_is_documented(path):
    run, pages = netprobe.load(path), documented()
    assert set(run.tables) <= set(pages)
    for name in run.tables:
        missing = set(run.table(name).columns) - pages[name] - {"interval"}
        assert not missing, f"{name}: {missing}"


def test_columns_that_nothing_has_are_not_documented():
    """The first column of the tables in the page; other words in code type are values."""
    run = netprobe.load(RUNS[0])
    for name, text in re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL):
        if name not in run.tables:
            continue
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE):
            assert set(re.findall(r"`(\w+)`", row)) <= set(run.table(name).columns), name


def test_tables_of_a_benchmark_are_documented():
    from netprobe.load.rounds import Round, round_tables

    pages = documented()
    for table in round_tables([Round(1.7e9, 1.0, 5, 0, {200: 5})]):
        assert set(table.columns) <= pages[table.name], table.name


@pytest.mark.kernel
def test_tables_of_latency_are_documented(tmp_path):
    import subprocess
    import sys

    command = Path(sys.executable).with_name("netprobe")
    pages = documented()
    for what in ("syscalls", "switches"):
        subprocess.run(
            [command, what, "-L", "-o", tmp_path / what, "--", "ls", "/"], check=True, capture_output=True, timeout=60
        )
        run = netprobe.load(tmp_path / what)
        for name in run.tables:
            assert set(run.table(name).columns) <= pages[name] | {"interval"}, name


def test_run_json_is_documented():
    rows = " ".join(re.findall(r"^\| (`.*?) \|", PAGE.split("## run.json")[1], re.MULTILINE))
    fields = set(re.findall(r"`(\w+)`", rows))
    assert set(netprobe.load(RUNS[0]).info) <= fields


def test_history_reaches_the_present_version():
    from netprobe.run import model
    from netprobe.run.model import FORMAT_VERSION

    history = PAGE.split("## History of versions")[1]
    versions = [str(number) for number in range(1, FORMAT_VERSION + 1)]
    assert re.findall(r"^\| (\d+) \|", history, re.MULTILINE) == versions
    # And on top of the file that owns the format.
    assert re.findall(r"^(\d+)   ", model.__doc__, re.MULTILINE) == versions
