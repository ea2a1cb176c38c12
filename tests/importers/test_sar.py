"""`sar -w`: texts in every clock format, and sar compared with the counts of the kernel."""

import os
import subprocess
from pathlib import Path

import pytest

BANNER = "Linux 6.1.0-13-amd64 (web-1) \t11/23/2026 \t_x86_64_\t(4 CPU)\n\n"
ROWS = [(0.0, 4089.11), (2.02, 11160.0), (0.0, 3300.5), (1.0, 280.25)]


def text(times, heading="       proc/s   cswch/s", average="Average:", point="."):
    lines = [f"{times[0]}{heading}"]
    for time, rates in zip(times[1:], ROWS, strict=False):
        lines.append(f"{time}      " + "   ".join(f"{rate:.2f}".replace(".", point) for rate in rates))
    lines += ["", f"{average}         0{point}50   7606{point}97"] if average else []
    return "\n".join(lines) + "\n"


CLOCKS = {
    "24 h": ["22:52:41", "22:52:42", "22:52:43", "22:52:44", "22:52:45"],
    "12 h": ["11:59:58 AM", "11:59:59 AM", "12:00:00 PM", "12:00:01 PM", "12:00:02 PM"],
    "midnight": ["23:59:58", "23:59:59", "00:00:00", "00:00:01", "00:00:02"],
    "12 h at midnight": ["11:59:58 PM", "11:59:59 PM", "12:00:00 AM", "12:00:01 AM", "12:00:02 AM"],
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_clocks(report, clock):
    found = report(BANNER + text(CLOCKS[clock]))
    assert found.contents.durations == (1, 1, 1, 1)
    assert found.contents.machine == ((4089.11, 11160.0, 3300.5, 280.25), (0.0, 2.02, 0.0, 1.0))
    assert found.contents.notes == ()
    table = found.contents.tables[0]
    assert list(table.rows("row", "proc_per_s", "cswch_per_s"))[-1] == ("average", 0.5, 7606.97)


def test_decimal_comma_and_other_words_for_average(report):
    found = report(text(CLOCKS["24 h"], average="Durchschn.:", point=","))
    assert found.contents.machine[0] == (4089.11, 11160.0, 3300.5, 280.25)
    assert found.contents.rows == 5


def test_the_machine_of_the_banner(run_of):
    host = run_of(BANNER + text(CLOCKS["24 h"])).info.host
    assert (host.hostname, host.kernel, host.architecture, host.cpus) == (
        "web-1", "6.1.0-13-amd64", "x86_64", 4,
    )  # fmt: skip
    assert host.cpus_online is None
    assert host.boot_parameters is None


def test_longer_intervals(report):
    found = report(text(["10:00:00", "10:00:10", "10:00:20", "10:00:30", "10:00:41"]))
    assert found.contents.durations == (10, 10, 10, 11)
    assert found.contents.machine[0][1] == 111_600


def test_missing_rows_are_noted(report):
    found = report(text(["10:00:00", "10:00:07", "10:00:08", "10:00:09", "10:00:10"]))
    assert found.contents.durations == (1, 1, 1, 1)
    assert found.contents.notes == ("rows are missing between 10:00:00 and 10:00:07",)


def test_repeated_heading(report):
    again = text(CLOCKS["24 h"], average="") + "\n22:52:45       proc/s   cswch/s\n22:52:46      0.00      17.00\n"
    found = report(again)
    assert found.contents.durations == (1, 1, 1, 1, 1)
    assert found.contents.machine[0][-1] == 17


def test_heading_with_an_earlier_time_begins_another_report(reports):
    first, second = reports(text(CLOCKS["24 h"]) + "\n" + text(["10:00:00", "10:00:01"]))
    assert (first.contents.rows, second.contents.rows) == (5, 2)


def test_only_averages(run_of):
    run = run_of("10:00:00 AM    proc/s   cswch/s\nAverage:         0.50   7606.97\n")
    assert run.info.recording.seconds is None
    assert "machine_switches" not in run.tables["intervals"].columns


def test_malformed_rows_and_a_reboot(report):
    found = report(
        "10:00:00       proc/s   cswch/s\n10:00:01  0.00  100.00\n10:00:02  0.00  1x0.00\n10:00:03  0.00\n"
        "10:00:03  LINUX RESTART  (4 CPU)\n10:00:04  0.00  130.00\n"
    )
    assert (found.contents.rows, found.skipped_lines) == (2, 2)
    assert "the machine was rebooted between two rows" in found.contents.notes


def test_sar_agrees_with_the_kernel(tool, run_of):
    def switches():
        (line,) = [line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("ctxt")]
        return int(line.split()[1])

    sar = tool("sar")
    begun = switches()
    done = subprocess.run(
        [sar, "-w", "1", "3"], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True, timeout=30
    )
    whole = switches() - begun
    run = run_of(done.stdout)
    made = list(run.tables["intervals"].rows("machine_switches"))
    assert len(made) == 3
    # The three seconds of sar are within those of the test, which are slightly longer.
    total = sum(count for (count,) in made)
    assert 0.4 * whole < total <= 1.05 * whole
    assert run.info.host.kernel == os.uname().release
    (average,) = [rate for row, rate in run.tables["imported_sar"].rows("row", "cswch_per_s") if row == "average"]
    assert average == pytest.approx(total / run.seconds, rel=0.1)
