"""docs/run-format.md is generated, and Runs have the declared tables, columns and fields, and no others."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import netprobe
from netprobe.run.description import RunFile
from netprobe.run.schema.tables import TABLES
from netprobe.run.versions import FORMAT_VERSION, HISTORY

ROOT = Path(__file__).parents[2]
RUNS = [ROOT / "dashboards" / "runs" / "faulty", ROOT / "tests" / "data" / "runs" / "recv"]


def test_the_page_is_the_generated_one():
    spec = importlib.util.spec_from_file_location("run_format", ROOT / "scripts" / "run_format.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text() == script.page(), "run scripts/run_format.py"


def assert_declared(run):
    for name in run.tables:
        assert set(run.table(name).columns) <= {column.name for column in TABLES[name].columns}, name


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_every_table_and_column_is_declared(path):
    assert_declared(netprobe.load(path))


def test_fields_of_run_json_are_declared():
    # Of version 2, with three other names at the top.
    fields = set(json.loads((RUNS[0] / "run.json").read_text())) - {"window", "ways", "missed"}
    assert fields <= set(RunFile.__struct_fields__)


@pytest.mark.kernel
def test_tables_of_latency_are_declared(tmp_path):
    command = Path(sys.executable).with_name("netprobe")
    for name in ("syscalls", "switches"):
        subprocess.run(
            [command, name, "-L", "-o", tmp_path / name, "--", "ls", "/"], check=True, capture_output=True, timeout=60
        )
        assert_declared(netprobe.load(tmp_path / name))


def test_the_history_reaches_the_present_version():
    assert list(HISTORY) == list(range(1, FORMAT_VERSION + 1))
