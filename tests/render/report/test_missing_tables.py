"""A Run that lacks a table: dependent results are inconclusive in findings, diff and report; others are complete."""

import json
import shutil
from pathlib import Path

import pytest

import netprobe
from netprobe.render.diff import as_json
from netprobe.render.report import comparison_page, run_page
from netprobe.rules.context import context_of
from netprobe.rules.finding import Inconclusive
from netprobe.rules.registry import evaluate

RUN = Path(__file__).parent.parent.parent / "data" / "runs" / "polling"
TABLES = json.loads((RUN / "run.json").read_text())["tables"]
# Table → group of metrics in the diff.
GROUPS = {
    "syscalls": "system calls",
    "syscall_timeouts": "timeouts",
    "switches": "switches",
    "next_tasks": "preemptions",
    "messages": "locality",
    "busy_polls": "busy polling",
    "softirq_polls": "packets",
    **dict.fromkeys(("profile_frames", "profile_info", "profile_samples", "profile_stacks"), "CPU time"),
    "profile_threads": "CPU time",
}


@pytest.fixture
def lacking(tmp_path):
    """The Run without a table."""

    def make(table):
        shutil.copytree(RUN, tmp_path / "run")
        document = json.loads((RUN / "run.json").read_text())
        document["tables"].remove(table)
        (tmp_path / "run" / "run.json").write_text(json.dumps(document))
        return netprobe.load(tmp_path / "run")

    return make


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table(lacking, table):
    run, whole = lacking(table), netprobe.load(RUN)
    assert {one.code for one in run.findings()} <= {one.code for one in whole.findings()}
    for sides in ((whole, run), (run, whole)):
        found = netprobe.compare(*sides)
        as_json(found)
        group = GROUPS.get(table)
        if group:
            assert not [row for row in found.rows if row.group == group]
            assert any(f"Skipped {group}: " in sentence for sentence in found.skipped)
        assert table != "intervals" or not found.rows
    page = comparison_page.render(netprobe.compare(whole, run))
    assert b"Traceback" not in page
    assert run_page.render(run)


@pytest.mark.parametrize("table", ["profile_frames", "softirq_polls"])
def test_tables_that_depend_on_a_missing_table(lacking, table):
    """All tables of the probe are dropped, which is reported, and its rules are inconclusive."""
    run = lacking(table)
    (sentence,) = run.info.dropped
    assert sentence.endswith(f"cannot be used: the Run has no table {table}")
    rule = {"profile_frames": "hot-frame", "softirq_polls": "busy-poll-softirq-first"}[table]
    assert rule in {one.code for one in evaluate(context_of(run)) if isinstance(one, Inconclusive)}


def test_the_kernel_counter_is_optional(lacking):
    """It only checks the counts of the probes."""
    whole, run = (evaluate(context_of(read)) for read in (netprobe.load(RUN), lacking("polling_kernel")))
    assert [one.code for one in run] == [one.code for one in whole]
