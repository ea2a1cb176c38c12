"""A server started by netprobe: suspended before exec, released, ended."""

import os
import signal
import time
from pathlib import Path

import pytest

from netprobe.engine.started_commands import StartedServer
from netprobe.errors import NetprobeError


def wait_until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_server_is_suspended_until_its_release(tmp_path):
    mark = tmp_path / "mark"
    server = StartedServer(("touch", str(mark)))
    time.sleep(0.1)
    assert not mark.exists()
    assert not server.ended()
    server.release()
    wait_until(server.ended)
    assert mark.exists()
    assert server.exit_code == 0
    assert server.end() is False


def test_exit_status_and_signal():
    for script, expected in (("exit 7", 7), ("kill -9 $$", -9)):
        server = StartedServer(("sh", "-c", script))
        server.release()
        wait_until(server.ended)
        assert server.exit_code == expected


def test_ended_before_its_release(tmp_path):
    server = StartedServer(("touch", str(tmp_path / "mark")))
    server.end()
    assert server.ended()
    assert not (tmp_path / "mark").exists()


def test_a_server_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr("netprobe.engine.started_commands._TERMINATION_TIMEOUT_S", 0.2)
    server = StartedServer(("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"))
    server.release()
    time.sleep(0.2)
    assert server.end() is True
    assert server.exit_code == -9


def test_ctrl_c_while_the_server_ends(monkeypatch):
    """Its PID may be that of another process by then."""
    server = StartedServer(("sleep", "9"))
    server.release()

    def interrupted(seconds):
        wait_until(server.ended)
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "_gone_within", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.end()


def test_a_suspended_server_ends_with_netprobe(tmp_path):
    """The pipe is closed unused when netprobe dies: the suspended process must see that."""
    server = StartedServer(("touch", str(tmp_path / "mark")))
    os.close(server._release_write)
    server._release_write = -1
    try:
        wait_until(server.ended, 2)
    finally:
        server.end()
    assert server.exit_code == 127
    assert not (tmp_path / "mark").exists()


def test_no_such_program():
    with pytest.raises(NetprobeError, match="nosuchprogram") as error:
        StartedServer(("nosuchprogram",))
    assert error.value.hint


def test_no_descriptor_is_inherited():
    server = StartedServer(("sleep", "9"))
    server.release()
    wait_until(lambda: Path(f"/proc/{server.pid}/comm").read_text() == "sleep\n")
    numbers = {int(fd.name) for fd in Path(f"/proc/{server.pid}/fd").iterdir()}
    server.end()
    assert numbers <= {fd for fd in map(int, os.listdir("/proc/self/fd")) if inheritable(fd)}


def inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def test_signals_are_those_of_a_new_process(tmp_path):
    """Python ignores SIGPIPE and SIGXFSZ; a server must not inherit that."""
    status = tmp_path / "status"
    server = StartedServer(("cp", "/proc/self/status", str(status)))
    server.release()
    wait_until(server.ended)
    ignored = int(status.read_text().split("SigIgn:")[1].split()[0], 16)
    own = int(Path("/proc/self/status").read_text().split("SigIgn:")[1].split()[0], 16)
    # What whoever started the tests ignores (a shell in the background: SIGQUIT) is theirs to say.
    by_python = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))
    assert own & by_python == by_python, "there is something to inherit"
    assert not ignored & by_python
