"""`pidstat -w`: texts in every form, and pidstat compared with the counts of the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive
from netprobe.rules.registry import all_rules

THREADS = """\
Linux 5.15.0 (web-1) \t02/20/22 \t_x86_64_\t(4 CPU)

01:03:03 AM   UID      TGID       TID   cswch/s nvcswch/s  Command
01:03:04 AM  1000      4711         -      9.00   1990.00  tcp httpd
01:03:04 AM  1000         -      4711      9.00   1990.00  |__tcp httpd
01:03:04 AM  1000         -      4712   1999.00      3.00  |__timer-0
01:03:04 AM     0      5000      5001     12.00      0.00  (agent)__worker

01:03:04 AM   UID      TGID       TID   cswch/s nvcswch/s  Command
01:03:05 AM  1000      4711         -      7.00   2010.00  tcp httpd
01:03:05 AM  1000         -      4711      7.00   2010.00  |__tcp httpd
01:03:05 AM  1000         -      4712   2003.00      1.00  |__timer-0

Average:      UID      TGID       TID   cswch/s nvcswch/s  Command
Average:     1000      4711         -      8.00   2000.00  tcp httpd
Average:     1000         -      4711      8.00   2000.00  |__tcp httpd
Average:     1000         -      4712   2001.00      2.00  |__timer-0
"""


def switches(report):
    (table,) = [table for table in report.contents.tables if table.name == "switches"]
    return list(table.rows("interval", "pid", "tid", "process", "thread", "voluntary", "involuntary"))


def test_threads(report):
    found = report(THREADS)
    assert switches(found) == [
        (0, 4711, 4711, "tcp httpd", "tcp httpd", 9, 1990),
        (0, 4711, 4712, "tcp httpd", "timer-0", 1999, 3),
        (0, 5000, 5001, "agent", "worker", 12, 0),
        (1, 4711, 4711, "tcp httpd", "tcp httpd", 7, 2010),
        (1, 4711, 4712, "tcp httpd", "timer-0", 2003, 1),
    ]
    assert found.contents.durations == (1, 1)
    assert found.skipped_lines == 0
    averages = [row for row in found.contents.tables[0].rows("row", "tid", "cswch_per_s") if row[0] == "average"]
    assert averages == [("average", 0, 8.0), ("average", 4711, 8.0), ("average", 4712, 2001.0)]


def test_processes(report):
    found = report(
        "22:52:46      UID       PID   cswch/s nvcswch/s  Command\n"
        "22:52:48        0        15     51.96      0.00  rcu_preempt\n"
        "22:52:48     1000       870      0,50      2,00  /usr/bin/my server --port 80\n"
    )
    assert switches(found) == [
        (0, 15, 15, "rcu_preempt", "rcu_preempt", 104, 0),
        (0, 870, 870, "/usr/bin/my server --port 80", "/usr/bin/my server --port 80", 1, 4),
    ]
    assert "which threads switch" in found.contents.unknown


def test_averages_since_boot(report, run_of):
    text = (
        "22:52:46      UID       PID   cswch/s nvcswch/s  Command\n"
        "22:52:46        0         1      0.03      0.01  init\n"
    )
    found = report(text)
    assert found.contents.durations is None
    assert found.contents.notes == ("the rates are averages since boot",)
    # Rates without a length are not counts.
    assert "switches" not in run_of(text).tables


def test_one_table_with_times_of_the_epoch(report):
    found = report(
        "# Time        UID      TGID       TID   cswch/s nvcswch/s  Command\n"
        "1795474367      0        15         -     11.88      0.00  rcu_preempt\n"
        "1795474367      0         -        15     11.88      0.00  |__rcu_preempt\n"
        "# Time        UID      TGID       TID   cswch/s nvcswch/s  Command\n"
        "1795474369      0        15         -     10.00      0.00  rcu_preempt\n"
        "1795474369      0         -        15     10.00      0.00  |__rcu_preempt\n"
    )
    assert [row[-2] for row in switches(found)] == [24, 20]


def test_other_reports_between(report):
    text = ""
    for second in range(2):
        text += (
            f"22:52:4{second}      UID       PID    %usr %system  %guest   %wait    %CPU   CPU  Command\n"
            f"22:52:4{second + 1}        0        15    0.00    0.98    0.00    0.00    0.98     1  rcu_preempt\n\n"
            f"22:52:4{second}      UID       PID   cswch/s nvcswch/s  Command\n"
            f"22:52:4{second + 1}        0        15     {second + 3}.00      0.00  rcu_preempt\n\n"
        )
    found = report(text)
    assert [row[-2] for row in switches(found)] == [3, 4]
    assert found.skipped_lines == 0


def test_malformed_rows(report):
    found = report(THREADS.replace("4712   1999.00", "47x2   1999.00").replace("     7.00   2010.00  |", " 7.00 |"))
    assert found.skipped_lines == 2
    assert [row[2] for row in switches(found)] == [4711, 5001, 4712]


def result_of(run, code):
    (rule,) = [rule for rule in all_rules() if code == rule.CODE]
    return context_of(run).result(rule)


def test_timer_is_found_by_its_name(run_of):
    found = result_of(run_of(THREADS), "timer-thread-switching")
    assert isinstance(found, Finding)
    assert found.evidence[0].value == 2003
    assert "timer-0" in found.summary
    assert any("identified by name" in one.text for one in found.evidence)


def test_frequent_switches_of_another_thread_are_inconclusive(run_of):
    answer = result_of(run_of(THREADS.replace("timer-0", "io-loop")), "timer-thread-switching")
    assert isinstance(answer, Inconclusive)
    assert "io-loop" in answer.reason


def test_switches_by_process_are_inconclusive(run_of):
    text = "10:00:00 UID PID cswch/s nvcswch/s Command\n10:00:01 0 15 51.96 0.00 web\n"
    answer = result_of(run_of(text), "timer-thread-switching")
    assert isinstance(answer, Inconclusive)
    assert "pidstat -wt" in answer.reason


def test_pidstat_agrees_with_the_kernel(tool, run_of):
    program = (
        "import sys, time\nsys.stdin.readline()\nfor _ in range(503): time.sleep(0.001)\nprint(1, flush=True)\ninput()"
    )
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    status = Path(f"/proc/{sleeper.pid}/task/{sleeper.pid}/status")

    def voluntary():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches")]
        return int(line.split()[1])

    watching = subprocess.Popen(
        [tool("pidstat"), "-w", "-t", "-p", str(sleeper.pid), "1", "4"],
        env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        # pidstat writes the heading with the first row, after its first snapshot.
        first = [watching.stdout.readline() for _ in range(4)]
        begun = voluntary()
        sleeper.stdin.write(b"\n")
        sleeper.stdin.flush()
        sleeper.stdout.readline()
        made = voluntary() - begun
        out = "".join(first) + watching.communicate(timeout=30)[0]
    finally:
        watching.kill()
        watching.wait()
        sleeper.communicate(b"\n")
    run = run_of(out)
    rows = list(run.tables["switches"].rows("pid", "tid", "voluntary"))
    assert {(pid, tid) for pid, tid, _ in rows} == {(sleeper.pid, sleeper.pid)}
    assert made >= 503
    assert sum(count for *_, count in rows) == pytest.approx(made, rel=0.1)
