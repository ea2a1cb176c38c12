"""`strace -c`: its tables for a program with a known number of calls, in all their formats."""

import subprocess
import sys

import pytest

CALL, CALLS = "sched_get_priority_max", 1_009
PROGRAM = f"""
import os
for _ in range({CALLS}):
    os.sched_get_priority_max(1)
for _ in range(13):
    try:
        os.stat("/none/such")
    except OSError:
        pass
"""
FORKING = f"""
import os
if os.fork():
    os.wait()
{PROGRAM}"""


@pytest.fixture
def summary(tool, tmp_path):
    """The output of strace for a Python program."""

    def trace(*options: str, program: str = PROGRAM) -> str:
        out = tmp_path / "summary"
        command = [tool("strace"), *options, "-o", str(out), sys.executable, "-S", "-c", program]
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        return out.read_text()

    return trace


def table(report, name):
    (found,) = [table for table in report.contents.tables if table.name == name]
    return found


def calls(report):
    return dict(table(report, "syscalls").rows("syscall", "calls"))


@pytest.mark.parametrize("options", [("-c",), ("-c", "-S", "calls"), ("-c", "-w"), ("-c", "-S", "name")], ids=" ".join)
def test_calls_and_errors(summary, report, options):
    text = summary(*options)
    found = report(text)
    assert calls(found)[CALL] == CALLS
    errors = dict(table(found, "syscall_errors").rows("syscall", "calls"))
    assert errors["newfstatat"] >= 13
    assert found.skipped_lines == 0
    assert not found.contents.only_most_frequent
    # The total is not one of the calls, and equals their sum.
    assert "total" not in calls(found)
    total = text.strip().splitlines()[-1].split()
    assert (sum(calls(found).values()), sum(errors.values())) == (int(total[-3]), int(total[-2]))
    assert found.contents.notes == ()


def test_every_number(summary, report):
    text = summary("-c")
    printed = table(report(text), "imported_calls")
    expected = []
    for line in text.splitlines()[2:-2]:
        fields = line.split()
        failed = int(fields[4]) if len(fields) == 6 else 0
        expected.append(
            (fields[-1], float(fields[0]), round(float(fields[1]) * 1e9), int(fields[2]) * 1000, int(fields[3]), failed)
        )
    names = ("syscall", "share_pct", "total_ns", "avg_ns", "calls", "errors")
    assert list(printed.rows(*names)) == expected


def test_with_children(summary, report):
    assert calls(report(summary("-c", "-f", program=FORKING)))[CALL] == 2 * CALLS
    assert calls(report(summary("-c", program=FORKING)))[CALL] == CALLS


@pytest.mark.parametrize(
    "columns",
    ["name,calls", "calls,errors,name", "name,calls,max-time,min-time", "time-percent,total-time,avg-time,calls,name"],
)
def test_selected_columns(summary, report, columns):
    found = report(summary("-c", "-U", columns))
    assert calls(found)[CALL] == CALLS
    assert ("syscall_errors" in {one.name for one in found.contents.tables}) is ("errors" in columns)


def test_summary_without_its_end(summary, report):
    text = summary("-c")
    cut = text[: text.rindex("------ -----------")]
    assert calls(report(cut)) == calls(report(text))


def test_wrong_sum_is_noted(report):
    text = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        " 60.00    0.000600           6       100        12 read\n"
        " 40.00    0.000x00           4       100           write\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.001000           5       200        12 total\n"
    )
    found = report(text)
    assert calls(found) == {"read": 100}
    assert found.skipped_lines == 1
    assert found.contents.notes == ("the sum of the rows is 100 calls, and the total of the table is 200",)


def test_other_output_of_strace_is_skipped(tool, reports, tmp_path):
    command = [tool("strace"), "-C", "-f", "-o", str(tmp_path / "out"), sys.executable, "-S", "-c", PROGRAM]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    text = (tmp_path / "out").read_text()
    assert text.count(f"{CALL}(SCHED_FIFO)") == CALLS
    (found,) = reports(text)
    assert calls(found)[CALL] == CALLS
