"""`perf trace -s`: its tables for a program with a known number of calls."""

import re
import subprocess
import sys

import pytest

CALL, CALLS = "sched_get_priority_max", 1_009
PROGRAM = f"""
import os, threading
def work():
    for _ in range({CALLS}):
        os.sched_get_priority_max(1)
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
for _ in range(13):
    try:
        os.stat("/none/such")
    except OSError:
        pass
"""
OLD = """\

 Summary of events:

 my server:x (1234), 96 events, 23.8%

   syscall            calls    total       min       avg       max      stddev
                               (msec)    (msec)    (msec)    (msec)        (%)
   --------------- -------- --------- --------- --------- ---------     ------
   wait4                  4    63.723     0.021    15.931    33.230     57.77%
   read                  41     0.550     0.018     0.023     0.03x      3.22%

 sh (1235), 2 events, 1.0%

   syscall            calls    total       min       avg       max      stddev
                               (msec)    (msec)    (msec)    (msec)        (%)
   --------------- -------- --------- --------- --------- ---------     ------
   read                   1     0.021     0.021     0.021     0.021      0.00%


"""


@pytest.fixture(scope="module")
def trace():
    """The output of perf for the program."""

    def run(perf: str, *options: str) -> str:
        done = subprocess.run(
            [perf, "trace", "-s", *options, "--", sys.executable, "-S", "-c", PROGRAM],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if "Summary of events" not in done.stderr:
            pytest.skip(f"perf trace does not run here: {done.stderr[-300:]}")
        return done.stderr

    return run


def table(report, name):
    (found,) = [table for table in report.contents.tables if table.name == name]
    return found


@pytest.mark.kernel
def test_calls_by_thread(tool, trace, report):
    text = trace(tool("perf"))
    found = report(text)
    by_thread = [
        (tid, calls) for tid, syscall, calls in table(found, "syscalls").rows("tid", "syscall", "calls")
        if syscall == CALL
    ]  # fmt: skip
    # perf trace loses calls of a thread that migrates: the expected numbers are those that it printed.
    printed = [int(calls) for calls in re.findall(rf"^ +{CALL} +(\d+) ", text, re.MULTILINE)]
    assert [calls for _, calls in by_thread] == printed
    assert len({tid for tid, _ in by_thread}) == len(printed)
    assert 0 < sum(printed) <= 2 * CALLS
    assert found.skipped_lines == 0
    failed = sum(
        calls for name, calls in table(found, "syscall_errors").rows("syscall", "calls") if name == "newfstatat"
    )
    assert failed >= 13


@pytest.mark.kernel
def test_every_number_and_the_errors_by_name_are_imported(tool, trace, report):
    text = trace(tool("perf"), "--errno-summary")
    found = report(text)
    printed = table(found, "imported_calls")
    expected = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[-1].endswith("%"):
            times = [round(float(field) * 1e6) for field in fields[3:7]]
            expected.append((fields[0], int(fields[1]), float(fields[2]), *times, float(fields[7][:-1])))
    names = ("syscall", "calls", "errors", "total_ns", "min_ns", "avg_ns", "max_ns", "stddev_pct")
    assert list(printed.rows(*names)) == expected
    rows = table(found, "syscall_errors").rows("syscall", "errno", "calls")
    assert sum(calls for name, errno, calls in rows if (name, errno) == ("newfstatat", "ENOENT")) >= 13


def test_table_without_errors(report):
    # The format of perf 4 (tools/perf/builtin-trace.c, thread__dump_stats), which is not installed here.
    found = report(OLD)
    assert list(table(found, "syscalls").rows("tid", "thread", "syscall", "calls")) == [
        (1234, "my server:x", "wait4", 4), (1235, "sh", "read", 1),
    ]  # fmt: skip
    assert found.skipped_lines == 1
    assert "syscall_errors" not in {one.name for one in found.contents.tables}


def test_threads_of_the_run(run_of):
    run = run_of(OLD)
    assert list(run.tables["threads"].rows("tid", "thread")) == [(1234, "my server:x"), (1235, "sh")]
    assert run.info.target.threads == 2
