"""`netprobe record` around its recordings: what it refuses, where it writes, when a series ends. Records nothing."""

import datetime
import os
import time

import pytest

import netprobe as package
from netprobe.commands import record
from netprobe.commands.shared.group import cli
from netprobe.commands.shared.recording import Request, _length
from netprobe.errors import NetprobeError
from netprobe.run.model import Run
from netprobe.run.table import Table

WRK = "  23 requests in 2.00s, 1.00KB read\n"


def a_run(stopped_by="time", command=(), started=None):
    started = datetime.datetime.fromtimestamp(started or time.time(), datetime.UTC).isoformat(timespec="milliseconds")
    window = {"started": started, "seconds": 2.0, "stopped_by": stopped_by}
    target = {"description": "a test", "command": list(command)}
    return Run({"recording": window, "target": target}, {"intervals": Table("intervals", {"interval": [0]})})


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run `netprobe record` with these Runs, or errors, in place of recordings; how many of them it took."""
    monkeypatch.chdir(tmp_path)

    def run(runs, *arguments):
        taken = []

        def recorded(request, frequency, watch):
            taken.append(runs[len(taken)])
            if isinstance(taken[-1], BaseException):
                raise taken[-1]
            return taken[-1]

        monkeypatch.setattr(record, "record_everything", recorded)
        monkeypatch.setattr(record, "_show", lambda request, run: None)
        with cli.make_context("netprobe", ["record", *map(str, arguments)]) as context:
            cli.invoke(context)
        return len(taken)

    return run


def runs_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("written", "words"), [(1, "1 Run of 3"), (2, "2 Runs of 3"), (3, "3 Runs of 3")])
@pytest.mark.parametrize("stopped_by", ["SIGINT", "SIGTERM", "SIGHUP", "target exited"])
def test_a_series_ends_with_what_ends_a_run_early(invoke, tmp_path, capsys, written, words, stopped_by):
    runs = [a_run() for _ in range(written - 1)] + [a_run(stopped_by)]
    assert invoke(runs, "-p", 1, "--repeat", 3, "-o", "series") == written
    assert f"The series ends here, with {words}, the last one cut short." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == [str(number) for number in range(1, written + 1)]


@pytest.mark.parametrize(
    ("stopped_by", "arguments"),
    [("time", ["-p", 1]), ("command exited", ["--while", "true"]), ("target exited", ["--", "true"])],
)
def test_a_series_goes_on_after_what_should_end_a_run(invoke, capsys, stopped_by, arguments):
    runs = [a_run(stopped_by, arguments[1:] if arguments[0] == "--" else ()) for _ in range(3)]
    assert invoke(runs, "--repeat", 3, "-o", "series", *arguments) == 3
    said = capsys.readouterr().err
    assert "Run 3 of 3" in said
    assert "ends here" not in said


def test_ctrl_c_between_two_runs_leaves_the_first(invoke, tmp_path, capsys):
    assert invoke([a_run(), KeyboardInterrupt()], "--repeat", 3, "-o", "series") == 2
    assert "The series ends here, with 1 Run of 3." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == ["1"]


def test_a_target_that_is_gone_between_two_runs(invoke, tmp_path, capsys):
    gone = NetprobeError("There is no process 9.")
    with pytest.raises(NetprobeError, match="no process 9"):
        invoke([a_run(), a_run(), gone], "--repeat", 3, "-o", "series")
    assert "The series ends here, with 2 Runs of 3." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == ["1", "2"]


def test_a_series_that_ends_with_a_report_missing(invoke, capsys):
    with pytest.raises(NetprobeError, match="SIGINT ended the recording"):
        invoke([a_run("SIGINT")], "--repeat", 3, "-o", "series", "--while", "wrk", "--requests-from", "wrk.txt")
    assert "The series ends here, with 1 Run of 3, the last one cut short." in capsys.readouterr().err


@pytest.mark.parametrize("error", [NetprobeError("There is no process 9."), KeyboardInterrupt()])
def test_a_series_that_cannot_begin_leaves_nothing(invoke, tmp_path, capsys, error):
    with pytest.raises(type(error)):
        invoke([error], "--repeat", 2, "-o", "series")
    assert "ends here" not in capsys.readouterr().err
    assert runs_in(tmp_path) == []


def test_a_series_that_cannot_be_written_leaves_nothing(invoke, tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NetprobeError, match="No space left"):
        invoke([a_run()], "--repeat", 2, "-o", "series")
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no/series", "The directory .*no does not exist"),
        ("/proc/series", "cannot write in /proc"),
        ("there", "there exists already"),
        ("link", "link exists already"),
    ],
)
def test_places_that_will_not_do_for_a_series(invoke, tmp_path, place, words):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NetprobeError, match=words) as error:
        invoke([], "--repeat", 2, "-o", place)
    assert error.value.hint
    assert runs_in(tmp_path) == ["link", "there"]


def test_a_run_that_is_replaced_is_said(invoke, capsys):
    for words in ("Run written to r1.\n", "Run written to r1, in place of the one that was there.\n"):
        invoke([a_run()], "-o", "r1")
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--requests", 5, "--requests-from", "wrk.txt"], "--requests and --requests-from"),
        (["--json", "--repeat", 2], "a series is several Runs"),
    ],
)
def test_refused_before_recording(invoke, tmp_path, arguments, words):
    with pytest.raises(NetprobeError, match=words) as error:
        invoke([], *arguments)
    assert error.value.hint
    assert runs_in(tmp_path) == []


def test_requests_of_a_report(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    invoke([a_run("command exited", started=time.time() - 2)], "-o", "r", "--requests-from", "wrk.txt")
    assert package.load("r").info["requests"] == {"count": 23, "source": "wrk.txt"}


def test_a_report_that_is_older_than_the_recording(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    with pytest.raises(NetprobeError, match=r"wrk\.txt was written before the recording began") as error:
        invoke([a_run(started=time.time() + 1)], "-o", "r", "--requests-from", "wrk.txt")
    assert "--requests" in error.value.hint
    assert "requests" not in package.load("r").info


@pytest.mark.parametrize(
    ("stopped_by", "words"),
    [("time", "-d ended"), ("target exited", "the target's end ended"), ("SIGTERM", "SIGTERM ended")],
)
@pytest.mark.parametrize("report", ["none", "empty", "old"])
def test_a_load_generator_that_was_ended_could_not_report(invoke, tmp_path, stopped_by, words, report):
    run = a_run(stopped_by, started=time.time() + (2 if report == "old" else -2))
    if report != "none":
        (tmp_path / "wrk.txt").write_text(WRK if report == "old" else "")
    with pytest.raises(NetprobeError, match=f"{words} the recording before the load generator had ended"):
        invoke([run], "-o", "r", "-d", 2, "--while", "wrk", "--requests-from", "wrk.txt")
    assert "requests" not in package.load("r").info


@pytest.mark.parametrize(("stopped_by", "load"), [("command exited", ["--while", "wrk"]), ("time", [])])
def test_a_load_generator_that_ended_by_itself_has_no_excuse(invoke, tmp_path, stopped_by, load):
    (tmp_path / "wrk.txt").write_text("")
    with pytest.raises(NetprobeError, match="does not say how many requests were served"):
        invoke([a_run(stopped_by, started=time.time() - 2)], "--requests-from", "wrk.txt", *load)


def test_a_summary_that_is_printed_on_ctrl_c_counts(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    run = a_run("SIGINT", started=time.time() - 2)
    invoke([run], "-o", "r", "--while", "wrk", "--requests-from", "wrk.txt")
    assert package.load("r").info["requests"]["count"] == 23


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(while_command="wrk"), "while `wrk` runs"),
        (Request(while_command="wrk", seconds=4), "while `wrk` runs, for 4 s at most"),
        (Request(while_command="x", while_text="the load", seconds=0.5), "while the load runs, for 0.5 s at most"),
        (Request(seconds=4), "for 4 s"),
        (Request(command=("true",)), "until it ends"),
    ],
)
def test_how_long_it_records(request_, words):
    assert _length(request_.options(), request_.while_text) == words
