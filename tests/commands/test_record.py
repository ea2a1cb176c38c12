"""`netprobe record` without recordings: refused options, output directories, the end of a series."""

import datetime
import os
import time

import msgspec
import pytest

import netprobe as package
from netprobe.commands import record
from netprobe.commands.shared.group import cli
from netprobe.commands.shared.recording import _length
from netprobe.engine.options import RecordOptions
from netprobe.errors import NetprobeError
from netprobe.run.description import RequestsInfo, RunInfo
from netprobe.run.model import Run
from netprobe.run.table import Table

WRK = "  23 requests in 2.00s, 1.00KB read\n"


def a_run(stopped_by="duration", command=(), started=None):
    started = datetime.datetime.fromtimestamp(started or time.time(), datetime.UTC).isoformat(timespec="milliseconds")
    window = {"started": started, "seconds": 2.0, "stopped_by": stopped_by}
    target = {"description": "a test", "command": list(command)}
    info = msgspec.convert({"recording": window, "target": target}, RunInfo)
    return Run(info, {"intervals": Table("intervals", {"interval": [0], "start_s": [0.0], "duration_s": [2.0]})})


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run `netprobe record` with these Runs, or errors, in place of recordings; returns how many were used."""
    monkeypatch.chdir(tmp_path)

    def run(runs, *arguments):
        taken = []

        def recorded(options, frequency, progress):
            taken.append(runs[len(taken)])
            if isinstance(taken[-1], BaseException):
                raise taken[-1]
            return taken[-1]

        monkeypatch.setattr(record, "record_everything", recorded)
        monkeypatch.setattr(record, "_show", lambda options, run: None)
        with cli.make_context("netprobe", ["record", *map(str, arguments)]) as context:
            cli.invoke(context)
        return len(taken)

    return run


def runs_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("written", "message"), [(1, "1 Run of 3"), (2, "2 Runs of 3"), (3, "3 Runs of 3")])
@pytest.mark.parametrize("stopped_by", ["SIGINT", "SIGTERM", "SIGHUP", "target exited"])
def test_a_signal_or_the_exit_of_the_target_stops_a_series(invoke, tmp_path, capsys, written, message, stopped_by):
    runs = [a_run() for _ in range(written - 1)] + [a_run(stopped_by)]
    assert invoke(runs, "-p", 1, "--repeat", 3, "-o", "series") == written
    assert f"The series ends here, with {message}, the last one cut short." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == [str(number) for number in range(1, written + 1)]


@pytest.mark.parametrize(
    ("stopped_by", "arguments"),
    [("duration", ["-p", 1]), ("command exited", ["--while", "true"]), ("target exited", ["--", "true"])],
)
def test_a_series_continues_after_the_specified_end_of_a_run(invoke, capsys, stopped_by, arguments):
    runs = [a_run(stopped_by, arguments[1:] if arguments[0] == "--" else ()) for _ in range(3)]
    assert invoke(runs, "--repeat", 3, "-o", "series", *arguments) == 3
    output = capsys.readouterr().err
    assert "Run 3 of 3" in output
    assert "ends here" not in output


def test_ctrl_c_between_two_runs_leaves_the_first(invoke, tmp_path, capsys):
    assert invoke([a_run(), KeyboardInterrupt()], "--repeat", 3, "-o", "series") == 2
    assert "The series ends here, with 1 Run of 3." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == ["1"]


def test_a_target_that_exits_between_two_runs(invoke, tmp_path, capsys):
    gone = NetprobeError("There is no process 9.")
    with pytest.raises(NetprobeError, match="no process 9"):
        invoke([a_run(), a_run(), gone], "--repeat", 3, "-o", "series")
    assert "The series ends here, with 2 Runs of 3." in capsys.readouterr().err
    assert runs_in(tmp_path / "series") == ["1", "2"]


def test_a_series_that_ends_with_a_report_missing(invoke, capsys):
    with pytest.raises(NetprobeError, match="SIGINT stopped the recording"):
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
    ("place", "message"),
    [
        ("no/series", "The directory .*no does not exist"),
        ("/proc/series", "cannot write in /proc"),
        ("there", "there exists already"),
        ("link", "link exists already"),
    ],
)
def test_unsuitable_output_directories_of_a_series(invoke, tmp_path, place, message):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NetprobeError, match=message) as error:
        invoke([], "--repeat", 2, "-o", place)
    assert error.value.hint
    assert runs_in(tmp_path) == ["link", "there"]


def test_the_replacement_of_a_run_is_reported(invoke, capsys):
    for message in ("Run written to r1.\n", "Run written to r1, replacing an older one.\n"):
        invoke([a_run()], "-o", "r1")
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--requests", 5, "--requests-from", "wrk.txt"], "--requests and --requests-from"),
        (["--json", "--repeat", 2], "a series is several Runs"),
    ],
)
def test_refused_before_recording(invoke, tmp_path, arguments, message):
    with pytest.raises(NetprobeError, match=message) as error:
        invoke([], *arguments)
    assert error.value.hint
    assert runs_in(tmp_path) == []


def test_requests_of_a_report(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    invoke([a_run("command exited", started=time.time() - 2)], "-o", "r", "--requests-from", "wrk.txt")
    assert package.load("r").info.requests == RequestsInfo(count=23, source="wrk.txt")


def test_a_report_that_is_older_than_the_recording(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    with pytest.raises(NetprobeError, match=r"wrk\.txt was written before the recording began") as error:
        invoke([a_run(started=time.time() + 1)], "-o", "r", "--requests-from", "wrk.txt")
    assert "--requests" in error.value.hint
    assert package.load("r").info.requests is None


@pytest.mark.parametrize(
    ("stopped_by", "message"),
    [
        ("duration", "-d stopped"),
        ("target exited", "the end of the target stopped"),
        ("SIGTERM", "SIGTERM stopped"),
    ],
)
@pytest.mark.parametrize("report", ["none", "empty", "old"])
def test_a_load_generator_that_netprobe_stopped_has_no_report(invoke, tmp_path, stopped_by, message, report):
    run = a_run(stopped_by, started=time.time() + (2 if report == "old" else -2))
    if report != "none":
        (tmp_path / "wrk.txt").write_text(WRK if report == "old" else "")
    with pytest.raises(NetprobeError, match=f"{message} the recording before the load generator had ended"):
        invoke([run], "-o", "r", "-d", 2, "--while", "wrk", "--requests-from", "wrk.txt")
    assert package.load("r").info.requests is None


@pytest.mark.parametrize(("stopped_by", "load"), [("command exited", ["--while", "wrk"]), ("duration", [])])
def test_a_missing_report_of_a_load_generator_that_exited(invoke, tmp_path, stopped_by, load):
    (tmp_path / "wrk.txt").write_text("")
    with pytest.raises(NetprobeError, match="does not contain a number of requests"):
        invoke([a_run(stopped_by, started=time.time() - 2)], "--requests-from", "wrk.txt", *load)


def test_a_report_that_is_printed_on_ctrl_c_is_read(invoke, tmp_path):
    (tmp_path / "wrk.txt").write_text(WRK)
    run = a_run("SIGINT", started=time.time() - 2)
    invoke([run], "-o", "r", "--while", "wrk", "--requests-from", "wrk.txt")
    assert package.load("r").info.requests.count == 23


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RecordOptions(while_command="wrk"), "while `wrk` runs"),
        (RecordOptions(while_command="wrk", seconds=4), "while `wrk` runs, for 4 s at most"),
        (
            RecordOptions(while_command="x", while_description="the load", seconds=0.5),
            "while the load runs, for 0.5 s at most",
        ),
        (RecordOptions(seconds=4), "for 4 s"),
        (RecordOptions(command=("true",)), "until it exits"),
    ],
)
def test_length_of_a_recording(options, message):
    assert _length(options) == message
