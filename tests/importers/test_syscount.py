"""syscount of bcc: texts, and the tool on a workload with a known number of calls."""

import os
import re
import shutil
import subprocess

import pytest

from netprobe.resources import resource
from netprobe.run.table import thread_rows

CALL, CALLS = "sched_get_priority_max", 10_007

INTERVALS = """\
Tracing syscalls, printing top 3... Ctrl+C to quit.
[23:26:48]
SYSCALL                   COUNT        TIME (us)
futex                       139      6491536.463
clock_nanosleep              22      1962128.592
unlinkat                    258       989127.803

[23:26:49]
SYSCALL                   COUNT        TIME (us)
futex                       133      6473953.113
poll                         76      4031072.894

[23:26:50]
SYSCALL                   COUNT        TIME (us)
futex                       136      6027793.917

^C[23:26:51]
SYSCALL                   COUNT        TIME (us)
futex                        17      1000000.001
[unknown: 463]                1            1.500

Detaching...
"""


def rows(report, name, *columns):
    (table,) = [table for table in report.contents.tables if table.name == name]
    return list(table.rows(*columns))


def test_intervals_of_the_report_are_intervals_of_the_run(report, run_of):
    found = report(INTERVALS)
    assert found.contents.durations == (1, 1, 1, 1)
    assert rows(found, "syscalls", "interval", "syscall", "calls") == [
        (0, "futex", 139), (0, "clock_nanosleep", 22), (0, "unlinkat", 258),
        (1, "futex", 133), (1, "poll", 76), (2, "futex", 136), (3, "futex", 17), (3, "[unknown: 463]", 1),
    ]  # fmt: skip
    assert rows(found, "syscall_latency", "total_ns")[0] == (6_491_536_463,)
    run = run_of(INTERVALS)
    assert run.seconds == 4
    assert run.info.imported.notes == [
        "the report does not contain the length of the first interval: that of the others is assumed"
    ]


def test_length_of_a_single_table_is_unknown(report, run_of):
    text = INTERVALS.partition("\n\n")[0] + "\n\nDetaching...\n"
    assert report(text).contents.durations is None
    assert run_of(text, 10).seconds == 10


def test_a_second_recording_is_another_report(reports):
    first, second = reports(f"{INTERVALS}\n[09:00:00]\nSYSCALL COUNT\nread 5\n")
    assert (first.contents.rows, second.contents.rows) == (8, 1)


@pytest.mark.parametrize(
    ("first_line", "rows_there", "only_most_frequent"),
    [
        ("Tracing syscalls, printing top 3... Ctrl+C to quit.\n", 3, True),
        ("Tracing syscalls, printing top 3... Ctrl+C to quit.\n", 2, False),
        ("Tracing syscall 'read'... Ctrl+C to quit.\n", 1, False),
        # Truncated, or of another version: it may be incomplete.
        ("", 2, True),
    ],
)
def test_whether_all_calls_are_listed(report, first_line, rows_there, only_most_frequent):
    text = first_line + "[23:26:48]\nSYSCALL COUNT\n" + "".join(f"call{n} {n + 2}\n" for n in range(rows_there))
    assert report(text).contents.only_most_frequent is only_most_frequent


def test_milliseconds(report):
    found = report(
        "SYSCALL                   COUNT        TIME (ms)\nfutex                       139         6491.536463\n"
    )
    assert rows(found, "syscall_latency", "total_ns") == [(6_491_536_463,)]


def test_processes(report):
    text = "PID    COMM               COUNT\n14708  my server 1        12002\n25     [unknown]           7434\n"
    found = report(text)
    assert found.kind == "calls by process"
    assert rows(found, "imported_process_calls", "pid", "process", "calls") == [
        (14_708, "my server 1", 12_002), (25, "[unknown]", 7_434),
    ]  # fmt: skip
    # The report has no names of calls, so the Run has no table of system calls.
    assert [table.name for table in found.contents.tables] == ["imported_process_calls"]


def test_failed_calls_are_not_all_calls(report):
    text = "Tracing failed syscalls, printing top 10... Ctrl+C to quit.\n[23:26:55]\nSYSCALL COUNT\nioctl 360\n"
    text += "openat 196\n"
    found = report(text)
    assert found.kind == "failed calls"
    assert "syscalls" not in {table.name for table in found.contents.tables}
    assert rows(found, "syscall_errors", "syscall", "errno", "calls") == [
        ("ioctl", "any error", 360), ("openat", "any error", 196),
    ]  # fmt: skip


# ---- The tool ----


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    """netprobe's headers, as the kernel's may not be installed, and one more header that the tool includes."""
    folder = tmp_path_factory.mktemp("headers")
    shutil.copytree(resource("bpf") / "include", folder / "include")
    (folder / "include/linux/sched.h").write_text("#define TASK_COMM_LEN 16\n")
    return folder


@pytest.mark.kernel
@pytest.mark.parametrize("options", [("-d", "3"), ("-L", "-i", "1", "-d", "4", "-T", "50")], ids=["whole", "intervals"])
def test_bcc_counts_the_calls_of_the_workload(tool, working, headers, reports, options, tmp_path):
    environment = {**os.environ, "BCC_KERNEL_SOURCE": str(headers), "PYTHONUNBUFFERED": "1"}
    with_tracefs = 'mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"'
    with working(CALLS) as (pid, work):
        command = [tool("syscount-bpfcc"), "-p", str(pid), *options]
        counting = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", with_tracefs, "sh", *command],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            first = counting.stdout.readline()
            if not first.startswith("Tracing"):
                pytest.skip(f"syscount does not run here: {counting.stderr.read()[-300:]}")
            work()
            out, _ = counting.communicate(timeout=30)
        finally:
            counting.kill()
            counting.wait()
    (found,) = reports(first + out)
    made = {
        row[-2]: 0 for row in thread_rows({t.name: t for t in found.contents.tables}, "syscalls", "syscall", "calls")
    }
    for *_, syscall, calls in thread_rows({t.name: t for t in found.contents.tables}, "syscalls", "syscall", "calls"):
        made[syscall] += calls
    assert made[CALL] == CALLS
    assert found.skipped_lines == 0
    assert found.contents.rows == len(re.findall(r"^\w+ +\d+", first + out, re.MULTILINE))
    if "-i" in options:
        assert len(found.contents.durations) >= 3
        assert "syscall_latency" in {table.name for table in found.contents.tables}
