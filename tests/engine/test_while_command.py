"""A load generator started by netprobe is ended with all processes that its shell started."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from netprobe.engine import started_commands as module
from netprobe.engine.signals import Interruptible
from netprobe.engine.started_commands import WhileCommand

# The child of a shell that waits for it, and its number in a file; it is `sleep` for 61 s, whoever is to blame.
CHILD = "sleep 61 & echo $! >{file}; wait"
# Prints its summary on Ctrl-C, as wrk does, and not at once.
SUMMARY = "trap 'sleep 0.3; echo 23 requests >{file}; exit' INT; touch {file}.ready; while :; do sleep 0.02; done"


def wait_until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def started():
    """Start a load; it is killed at the end of the test."""
    loads = []

    def start(script):
        loads.append(WhileCommand(script))
        loads[-1].release()
        return loads[-1]

    yield start
    for one in loads:
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)


def written(path):
    return int(wait_until(lambda: path.exists() and path.read_text()))


def test_children_of_the_shell_are_ended_with_it(started, tmp_path):
    load = started(CHILD.format(file=tmp_path / "pid"))
    child = written(tmp_path / "pid")
    assert load.end() is True
    assert not lives(child)
    assert load.exit_code == -signal.SIGTERM


def test_children_are_ended_after_the_shell_has_ended(started, tmp_path):
    load = started(f"sleep 61 & echo $! >{tmp_path / 'pid'}; exit 7")
    child = written(tmp_path / "pid")
    wait_until(load.ended)
    assert lives(child)
    assert load.end() is True
    assert not lives(child)
    assert load.exit_code == 7


def test_a_load_that_ignores_sigterm_is_killed(started, monkeypatch, tmp_path):
    monkeypatch.setattr("netprobe.engine.started_commands._TERMINATION_TIMEOUT_S", 0.2)
    load = started(f"trap '' TERM; {CHILD.format(file=tmp_path / 'pid')}")
    child = written(tmp_path / "pid")
    assert load.end() is True
    assert not lives(child)


def test_a_forwarded_signal_leaves_time_for_a_summary(started, tmp_path):
    file = tmp_path / "report"
    load = started(f'sh -c "{SUMMARY.format(file=file)}"; true')
    wait_until((tmp_path / "report.ready").exists)
    with Interruptible(load.forward) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.interrupted == signal.SIGINT
    began = time.monotonic()
    load.end()
    assert time.monotonic() - began < module._SUMMARY_TIMEOUT_S
    assert file.read_text() == "23 requests\n"


def test_the_wait_for_a_summary_has_a_timeout(started, monkeypatch):
    monkeypatch.setattr(module, "_SUMMARY_TIMEOUT_S", 0.2)
    load = started("trap '' INT; sleep 61")
    time.sleep(0.2)
    load.forward(signal.SIGINT)
    began = time.monotonic()
    assert load.end() is True
    assert 0.2 < time.monotonic() - began < 2


def test_no_signal_is_forwarded_before_the_release(tmp_path):
    load = WhileCommand("true")
    load.forward(signal.SIGINT)
    load.release()
    wait_until(load.ended)
    assert load.exit_code == 0
    assert load.end() is False
    assert load.end() is False
    with pytest.raises(ChildProcessError):
        os.waitpid(load.pid, os.WNOHANG)


def test_exit_status_and_signal(started):
    for script, expected in (("exit 7", 7), ("kill -9 $$", -9)):
        load = started(script)
        wait_until(load.ended)
        assert load.exit_code == expected
        assert load.end() is False


def test_ctrl_c_while_the_load_ends_leaves_no_process(started, monkeypatch, tmp_path):
    load = started(f"trap '' TERM; {CHILD.format(file=tmp_path / 'pid')}")
    child = written(tmp_path / "pid")

    def impatient(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "_gone_within", impatient)
    with pytest.raises(KeyboardInterrupt):
        load.end()
    wait_until(lambda: not lives(child))


READS = """
import sys
from netprobe.engine.started_commands import WhileCommand
load = WhileCommand("cat; echo $? >{file}")
load.release()
while not load.ended():
    pass
"""


def test_a_load_that_reads_the_terminal_is_not_stopped(tmp_path):
    """Its process group is in the background: it reads /dev/null instead."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", READS.format(file=tmp_path / "status")])
    try:
        wait_until((tmp_path / "status").exists)
        assert written(tmp_path / "status") == 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_a_load_can_read_a_pipe(tmp_path):
    script = READS.format(file=tmp_path / "status").replace("cat;", f"cat >{tmp_path / 'said'};")
    subprocess.run([sys.executable, "-c", script], input=b"urls", check=True, timeout=10)
    assert (tmp_path / "said").read_text() == "urls"
