"""Reports between other lines, malformed lines, refused files, and the time that reading takes."""

import gzip
import io
import sys
import time
from contextlib import suppress

import pytest

from flamegraph.errors import ProfileError
from netprobe.errors import NetprobeError
from netprobe.importers import lines
from netprobe.importers.imported_run import as_run
from netprobe.importers.lines import count, number, scaled
from netprobe.importers.reading import read_reports
from netprobe.importers.registry import format_names, hints, text_formats
from netprobe.importers.selection import selected, why_separate
from netprobe.importers.times import clock, seconds_between
from netprobe.run.description import HostInfo, RecordingInfo, RequestsInfo

SYSCOUNT = "SYSCALL                   COUNT\nread                        101\nsendto                       97\n"
SAR = "01:03:03 AM    proc/s   cswch/s\n01:03:04 AM      0.00  17132.00\n01:03:05 AM      1.00  17060.00\n"
LISTING = "web, cpu=0, socket 0\nweb, cpu=1, socket 1\n"


def formats(found):
    return [report.format for report in found]


def test_reports_between_prose(reports):
    found = reports(f"Some words, 12 of them.\n\n{SYSCOUNT}\nThen I looked at sar:\n\n{SAR}\nThe end.\n{LISTING}")
    assert formats(found) == ["syscount (bcc)", "sar -w", "reuseport listing (name, cpu=N, socket I)"]
    assert [(report.first_line, report.last_line) for report in found] == [(3, 5), (9, 11), (14, 15)]
    assert [report.skipped_lines for report in found] == [0, 0, 0]


def test_prose_after_a_table_is_not_a_malformed_row(reports):
    found = reports(
        f"{SYSCOUNT}As one can see, it reads a lot, and sends hardly less than that.\n{SAR}And so on and on.\n"
    )
    assert [report.skipped_lines for report in found] == [0, 0]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends(report, end):
    assert report(SYSCOUNT.replace("\n", end)).contents.rows == 2
    assert report(SYSCOUNT.replace("\n", end).rstrip()).contents.rows == 2


def test_malformed_line_is_skipped_and_reported(report):
    broken = report("SYSCALL COUNT\nread 101\nsendto 9x7\nfutex 13\n")
    assert (broken.contents.rows, broken.skipped_lines, broken.skipped) == (2, 1, ("line 3: sendto 9x7",))
    (sentence,) = as_run([broken]).info.dropped
    assert sentence.startswith("1 line of syscount (bcc)")
    assert "was skipped: line 3: sendto 9x7" in sentence


def test_many_malformed_lines_are_counted(report):
    text = "SYSCALL COUNT\nread 101\n" + "x 1y\n" * 1000 + "futex 13\n"
    broken = report(text)
    assert (broken.contents.rows, broken.skipped_lines, len(broken.skipped)) == (2, 1000, 5)
    assert as_run([broken]).info.dropped[0].endswith("; …")


STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000100           1       101           read
 30.00    0.000060           1        97           sendto
 20.00    0.000040           1        13           futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200           1       211           total
"""
PERF_TRACE = """\
 Summary of events:

 web (4711), 422 events, 99.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                 101      0     1.010     0.001     0.010     0.020      1.00%
   sendto                97      0     0.970     0.001     0.010     0.020      1.00%
   futex                 13      0     0.130     0.001     0.010     0.020      1.00%
"""
PIDSTAT = """\
10:00:00      UID       PID   cswch/s nvcswch/s  Command
10:00:01        0       101      1.00      0.00  web
10:00:01        0       102      2.00      0.00  web
10:00:02        0       101      1.00      0.00  web
"""
WRK = """\
Running 2s test @ http://x/
  1 threads and 8 connections
  50.00%  271.00us
  90.00%  322.00us
  100 requests in 2.00s, 1.00KB read
Requests/sec:  50.00
"""
BPFTRACE = "@syscall[0]: 101\n@syscall[44]: 97\n@syscall[202]: 13\n"
# A text, its malformed line, and the rows that remain.
WITH_A_ROW_TO_BREAK = {
    "syscount": (f"{SYSCOUNT}futex 13\n", 3, 2),
    "syscount, the first": (f"{SYSCOUNT}futex 13\n", 2, 2),
    "strace": (STRACE, 4, 2),
    "perf trace": (PERF_TRACE, 9, 2),
    "pidstat": (PIDSTAT, 3, 2),
    "wrk": (WRK, 3, 5),
    "bpftrace": (BPFTRACE, 2, 2),
    "sar": (f"{SAR}01:03:06 AM      0.00  17048.00\n", 3, 2),
    "listing": (f"{LISTING}web, cpu=2, socket 2\n", 2, 2),
}


def broken(text, number, by):
    lines = text.splitlines()
    lines[number - 1] = by
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", WITH_A_ROW_TO_BREAK)
@pytest.mark.parametrize(
    "by", ["read 7272935 extra word more of it all", "some words of a reader, who could not leave it alone"]
)
def test_words_among_the_rows_are_skipped_and_reported(report, name, by):
    text, number, rows = WITH_A_ROW_TO_BREAK[name]
    found = report(broken(text, number, by))
    assert (found.contents.rows, found.skipped_lines, found.skipped) == (rows, 1, (f"line {number}: {by}",))


@pytest.mark.parametrize("name", ["syscount", "strace", "perf trace", "listing"])
def test_an_empty_line_among_the_rows(report, name):
    text, number, rows = WITH_A_ROW_TO_BREAK[name]
    found = report(broken(text, number, ""))
    assert (found.contents.rows, found.skipped) == (rows, (f"line {number}: empty",))


def test_malformed_line_with_a_timestamp(report):
    text = broken(SAR, 2, "01:03:04 AM 0.00 17132.00 and some more words")
    found = report(text)
    assert (found.contents.rows, found.skipped_lines) == (1, 1)


def test_words_between_two_tables_do_not_join_them(reports):
    first, second = reports(f"{SYSCOUNT}And then the other server, once more:\n{SYSCOUNT}")
    assert (first.contents.rows, second.contents.rows) == (2, 2)
    assert not first.skipped_lines + second.skipped_lines
    first, second = reports(f"{LISTING}As I changed that the order became this:\n{LISTING}")
    assert (first.contents.rows, second.contents.rows) == (2, 2)


@pytest.mark.parametrize("margin", ["    ", "\t", "> ", ">", ">> ", "  > "], ids=repr)
@pytest.mark.parametrize("name", WITH_A_ROW_TO_BREAK)
def test_indented_and_quoted(report, name, margin):
    text, _, rows = WITH_A_ROW_TO_BREAK[name]
    found = report("".join(f"{margin}{line}\n" for line in text.splitlines()))
    assert (found.contents.rows, found.skipped_lines) == (rows + 1, 0)


def test_indentation_within_a_quotation_is_kept(report):
    text = f"{PERF_TRACE}      EAGAIN: 3\n"
    assert report("".join(f"> {line}\n" for line in text.splitlines())).contents.rows == 4


def test_line_like_a_row_after_words_is_not_a_row(report):
    assert report(f"{SYSCOUNT}\nThis is described in detail in\nchapter 12\nverse 3\n").contents.rows == 2
    other = "\n01:03:06 AM kbmemfree kbmemused\n01:03:07 AM 5.00 6.00\n"
    assert report(SAR + other).contents.rows == 2


def test_rows_after_many_other_lines_are_not_of_the_report(report):
    assert report(SYSCOUNT + "a line of words of which none is a row\n" * 9 + "futex 13\n").contents.rows == 2


@pytest.mark.parametrize(
    "text",
    [
        "nothing of that sort\n",
        "chapter 12\nverse 3\n",
        "SYSCALL COUNT\n",
        "root:x:0:0:root:/root:/bin/bash\n",
        '{"a": [1, 2]}\n',
        "01:03:03 AM    proc/s   cswch/s\n",
        "Running 5s test @ http://x/\n",
        "Running late test @ home\n",
        "% time     seconds  usecs/call     calls    errors syscall\n",
        "\n\n\n",
    ],
)
def test_text_without_a_report_is_refused(reports, text):
    with pytest.raises(NetprobeError, match=r"contains no report that can be imported") as refused:
        reports(text)
    for name in ("syscount (bcc)", "strace -c", "sar -w", "pidstat -w", "wrk", "folded stacks", "perf.data"):
        assert name in refused.value.hint


def test_every_format_is_named_and_hinted():
    assert len(text_formats()) == 8
    assert len(set(format_names())) == 12
    for text in (SYSCOUNT, SAR, LISTING):
        assert hints().search(text.splitlines()[0])


def test_empty(reports):
    with pytest.raises(NetprobeError, match="is empty"):
        reports("")


@pytest.mark.parametrize("content", [bytes(range(256)) * 16, b"\0" * 100, SYSCOUNT.encode() + b"\0"])
def test_binary(reports, content):
    with pytest.raises(NetprobeError, match="neither text nor a profile"):
        reports(content)


def test_binary_far_inside(reports):
    with pytest.raises(NetprobeError, match="is not text"):
        reports(SYSCOUNT.encode() + b"word word\n" * 10_000 + b"\0\n")


def test_endless_devices_are_refused():
    with pytest.raises(NetprobeError, match="neither text nor a profile"):
        read_reports("/dev/zero")


def test_missing_file(tmp_path):
    with pytest.raises(ProfileError, match="No such file"):
        read_reports(tmp_path / "none")
    with pytest.raises(ProfileError, match="directory"):
        read_reports(tmp_path)


def test_gzip(reports, tmp_path):
    assert formats(reports(gzip.compress(SYSCOUNT.encode()))) == ["syscount (bcc)"]
    with pytest.raises((NetprobeError, ProfileError), match=r"cannot be read or decompressed"):
        reports(gzip.compress(SYSCOUNT.encode() * 9)[:-20])


def test_text_beyond_the_limit_is_refused(reports, monkeypatch):
    monkeypatch.setattr(lines, "MAX_TEXT_BYTES", 1 << 20)
    with pytest.raises(NetprobeError, match="longer than 1 MiB"):
        reports(gzip.compress(b"a line of text\n" * 100_000))


def test_standard_input(monkeypatch):
    class Slow(io.RawIOBase):
        """Gives a byte at a time, as a pipe may."""

        def __init__(self, content):
            self.content = content

        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[: len(self.content[:1])] = self.content[:1]
            taken, self.content = len(self.content[:1]), self.content[1:]
            return taken

    class Input:
        buffer = io.BufferedReader(Slow(SYSCOUNT.encode()))

    monkeypatch.setattr(sys, "stdin", Input)
    (found,) = read_reports("-")
    assert (found.source, found.contents.rows) == ("standard input", 2)


def test_hostile_names_are_kept_as_text(report):
    listing = (
        "\x1b]0;owned\x07, cpu=0, socket 0\n<script>alert(1)</script>, cpu=2, socket 1\n\u202eevil, cpu=1, socket 2\n"
    )
    names = report(listing).contents.tables[0].columns["name"]
    assert names == ["\x1b]0;owned\x07", "<script>alert(1)</script>", "\u202eevil"]
    bad = report(b"w\xff\xfeb, cpu=0, socket 0\n").contents.tables[0].columns["name"]
    assert bad == ["w\\xff\\xfeb"]


@pytest.mark.parametrize(
    "line",
    [
        " " * 8000 + "[x",
        "@" + "[" * 8000,
        "-" * 4000 + " " * 4000 + "x events",
        "a, " * 2700 + "socket",
        "Running " * 1000 + "@",
        "1 " * 4000 + "syscall calls",
        "x" * 8000 + ", cpu=0, socket 0",
        "Linux " + "(" * 8000 + "cswch/s",
    ],
    ids=range(8),
)
def test_time_per_line_is_bounded(reports, line):
    begun = time.process_time()
    with suppress(NetprobeError):
        reports((line + "\n") * 200)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("begin", [SYSCOUNT, SAR, LISTING, "Running 5s test @ http://x/\n"])
def test_time_per_line_within_a_report_is_bounded(reports, begin):
    begun = time.process_time()
    with suppress(NetprobeError):
        reports(begin + "".join((" " * 8000 + "x 1y\n", "9" * 8000 + "\n", "a " * 4000 + "\n") * 60))
    assert time.process_time() - begun < 2


def test_numbers_that_are_too_large_are_malformed(report):
    broken = report(f"SYSCALL COUNT\nread {'9' * 30}\nfutex 13\n")
    assert (broken.contents.rows, broken.skipped_lines) == (1, 1)


def test_numbers_and_times():
    assert [number(text) for text in ("12", "1.50", "0,25", "-1", "1e5", "nan", "", "1.2.3")] == [
        12, 1.5, 0.25, None, None, None, None, None,
    ]  # fmt: skip
    assert [count(text) for text in ("12", "1.5", "-1", "")] == [12, None, None, None]
    assert scaled("205.32", 1000) == 205_320
    with pytest.raises(ValueError, match="not a number"):
        scaled("nan", 1)
    cases = ("12:00:00 AM", "12:30:00 PM", "01:02:03 pm", "23:59:59", "1700000000", "24:00:00", "x", "")
    assert [clock(case.split()) for case in cases] == [
        (0, 2), (45_000, 2), (46_923, 2), (86_399, 1), (1_700_000_000, 1), None, None, None,
    ]  # fmt: skip
    assert seconds_between(86_399, 1) == 2
    assert seconds_between(10, 5) == -5


# ---- Reports of one recording ----


def test_one_recording(reports):
    found = reports(f"{SAR}\n\nweb:\n{LISTING}")
    assert why_separate(found, None) == ""
    run = as_run(found)
    assert run.seconds == 2
    assert {"reuseport_members", "imported_sar", "intervals"} <= run.tables.keys()


def test_reports_of_unknown_length(reports):
    found = reports(f"{SYSCOUNT}\nprose\n{SAR}")
    assert "syscount (bcc) took an unknown time (specify it with -d) and sar -w 2 s" in why_separate(found, None)
    assert why_separate(found, 2) == ""
    assert "not of the same time" in why_separate(found, 10)
    run = as_run(found, 2)
    # The calls are known for the whole time only, so both have one interval.
    assert list(run.tables["intervals"].rows("duration_s", "machine_switches")) == [(2.0, 34_192.0)]


def test_two_reports_of_one_kind_are_separate(reports):
    found = reports(f"{SYSCOUNT}\nbefore, and after:\n{SYSCOUNT}")
    assert "more than one report of system calls" in why_separate(found, None)
    assert [number for number, _ in selected(found, (2,))] == [2]
    with pytest.raises(NetprobeError, match="no report 3: 2 were found"):
        selected(found, (3,))


def test_data_that_are_not_in_the_report_are_none(run_of):
    run = run_of(SYSCOUNT)
    assert run.info.recording == RecordingInfo(seconds=None, intervals=1)
    assert run.info.host == HostInfo()
    assert run.info.target.pids == []
    assert run.info.probes == ["syscount (bcc)"]
    assert "length of the recording" in run.info.imported.unknown
    assert run.info.imported.reports[0].format == "syscount (bcc)"
    assert run.imported
    assert "length not known" in repr(run)
    assert run.info.requests is None


def test_requests(run_of, reports):
    wrk = "\nRunning 2s test @ http://x/\n  100 requests in 2.00s, 1.00KB read\nRequests/sec:  50.00\n"
    assert run_of(SYSCOUNT + wrk, 2).info.requests == RequestsInfo(count=100, source="wrk")
    run = run_of(SYSCOUNT + wrk, 10)
    assert run.info.requests is None
    assert "the requests of wrk are not used: it took 2 s, the other reports 10 s" in run.info.imported.notes
    assert run_of(SYSCOUNT + wrk, 10, 7).info.requests == RequestsInfo(count=7, source="--requests")
