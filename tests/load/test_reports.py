"""The number of requests in the reports of load generators."""

import os
import threading
import time
from contextlib import suppress

import pytest

from netprobe.errors import NetprobeError
from netprobe.load.reports import NoReportError, requests_in

WRK = "Running 2s test @ http://x/\n  {} requests in 2.00s, 1.00KB read\nRequests/sec:  50.00\n"
AB = "Concurrency Level:      8\nComplete requests:      103\nFailed requests:        0\n"
H2LOAD = "requests: 100 total, 100 started, 100 done, 97 succeeded, 3 failed, 0 errored, 0 timeout\n"
# Written after the source of hey (requester/print.go of rakyll/hey), which Debian does not package.
HEY = (
    "\nSummary:\n  Total:\t0.0200 secs\n  Slowest:\t0.0128 secs\n  Requests/sec:\t10022.9023\n\n"
    "Response time histogram:\n  0.000 [1]\t|\n  0.002 [81]\t|∎∎∎∎\n\n\nLatency distribution:\n  10% in 0.0011 secs\n\n"
    "Details (average, fastest, slowest):\n  resp read:\t 0.0000 secs, 0.0000 secs, 0.0028 secs\n\n"
    "Status code distribution:\n  [200]\t{} responses\n  [503]\t7 responses\n\n"
    "Error distribution:\n  [11]\tGet http://x/: EOF\n\n"
)


@pytest.fixture
def report(tmp_path):
    """A file with a text."""

    def write(text):
        path = tmp_path / "report.txt"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "count"),
    [(WRK.format(101), 101), (AB, 103), (H2LOAD, 97), (HEY.format(191), 198), (f"warming up\n{WRK.format(5)}bye\n", 5)],
    ids=["wrk", "ab", "h2load", "hey", "among other words"],
)
def test_total_of_each_load_generator(report, text, count):
    assert requests_in(report(text)) == count


@pytest.mark.parametrize("text", ["", "all went well\n", "Status code distribution:\n", "  0.002 [81]\t|∎∎\n"])
def test_text_without_a_total_is_refused(report, text):
    with pytest.raises(NetprobeError, match="does not contain") as refused:
        requests_in(report(text))
    assert "wrk, wrk2, ab, h2load or hey" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "totals"),
    [
        (WRK.format(100) + WRK.format(900), "2 totals of requests: 100, 900."),
        (HEY.format(191) + WRK.format(900) + AB, "3 totals of requests: 198, 900, 103."),
        (WRK.format(7) * 20, "20 totals of requests: 7, 7, 7, 7, 7, 7, 7, 7 …."),
    ],
    ids=["the same", "several sorts", "many"],
)
def test_several_totals_are_refused(report, text, totals):
    with pytest.raises(NetprobeError, match=totals) as refused:
        requests_in(report(text))
    assert "the sum with --requests" in refused.value.hint


@pytest.mark.parametrize(
    "line", ["\n", " \n", " " * 9999 + "\n", "Status code distribution:\n", " [1] 1 responses\n", "1"]
)
def test_time_for_any_text_is_bounded(report, line):
    path = report("Status code distribution:\n" + line * ((1 << 20) // len(line)))
    begun = time.process_time()
    with suppress(NetprobeError):
        requests_in(path)
    assert time.process_time() - begun < 2


def test_report_older_than_the_recording_is_refused(report):
    path = report(WRK.format(101))
    os.utime(path, (1000, 1000))
    with pytest.raises(NoReportError, match="written before the recording began") as refused:
        requests_in(path, 1001)
    assert "--while" in refused.value.hint
    assert requests_in(path, 999) == requests_in(path) == 101


def test_report_written_at_the_start_of_the_recording_is_accepted(report):
    """The modification time of a file is up to one tick earlier than the clock."""
    for _ in range(20):
        began = time.time()
        assert requests_in(report(WRK.format(101)), began) == 101


def test_modification_time_of_a_pipe_is_ignored(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(WRK.format(101),))
    writer.start()
    assert requests_in(pipe, time.time() + 60) == 101
    writer.join()


def test_missing_file(tmp_path):
    with pytest.raises(NoReportError, match="cannot be read"):
        requests_in(tmp_path / "none")
