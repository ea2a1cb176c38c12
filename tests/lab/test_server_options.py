import dataclasses
import subprocess
import time

import pytest

from netprobe.errors import NetprobeError
from netprobe.lab import server
from netprobe.lab.server import LabServer, ServerOptions


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(server.build()), *flags], capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--threads=0"], "--threads takes a number from 1 to 256, not '0'"),
        (["--threads=3x"], "--threads takes a number from 1 to 256, not '3x'"),
        (["--threads"], "--threads requires a value"),
        (["--no-such"], "unknown option: --no-such"),
        (["-x"], "unknown option: -x"),
        (["extra"], "unexpected argument: extra"),
        (["--steer=magic"], "unknown value 'magic' for --steer"),
        (["--backend=kqueue"], "unknown value 'kqueue' for --backend"),
        (["--cpus=0,1", "--threads=3"], "--cpus lists 2 values for 3 reactors"),
        (["--listen-order=0,0", "--threads=2"], "--listen-order names reactor 0 twice"),
        (["--listen-order=0,2", "--threads=2"], "--listen-order takes a number from 0 to 1, not '2'"),
        (["--threads=2", "--processes=2"], "--threads and --processes cannot be combined"),
        (["--close-listener=3", "--threads=2", "--listeners=1"], "the group has indexes 0 to 2"),
        (["--prefer"], "--prefer and --busy-poll-budget require --busy-poll-us"),
        (["--busy-poll-us=7", "--busy-poll-budget=5", "--backend=io_uring"], "io_uring has no budget"),
        (["--udp", "--backend=io_uring"], "--udp requires --backend epoll"),
        (["--udp", "--receive=read"], "--udp requires --receive recv"),
        (["--address=localhost"], "--address takes an IPv4 or IPv6 address, not 'localhost'"),
        (["--port=65536"], "--port takes a number from 0 to 65535, not '65536'"),
        (["--epoll-timeout-us=-2"], "--epoll-timeout-us takes a number from -1"),
        (["--quota-timer-us=9"], "--quota-timer-us takes a number from 10"),
    ],
)
def test_wrong_options_are_explained(flags: list[str], message: str) -> None:
    done = run(*flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_help_lists_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    options = ServerOptions(
        processes=2,
        cpus=(0, 1),
        listen_order="reversed",
        busy_poll_us=3,
        busy_poll_budget=5,
        close_listener=0,
        prefer=True,
        udp=True,
        verbose=True,
    )
    names = {flag.split("=")[0] for flag in options.argv()} | {"--threads"}
    assert len(names) == len(dataclasses.fields(ServerOptions))
    assert all(f"  {name} " in done.stdout for name in names)


@pytest.mark.parametrize("reactors", [["--threads=2"], ["--processes=2"]])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--address=192.0.2.7"], "bind: Cannot assign requested address (EADDRNOTAVAIL)"),
        (["--cpus=0,65535"], "sched_setaffinity: Invalid argument (EINVAL)"),
    ],
)
def test_failed_system_call_is_named(reactors: list[str], flags: list[str], message: str) -> None:
    done = run(*reactors, *flags)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_message_of_the_server_is_in_the_error() -> None:
    with pytest.raises(NetprobeError, match="EADDRNOTAVAIL"), LabServer(ServerOptions(address="192.0.2.7")):
        pass


@pytest.mark.parametrize(
    "options",
    [
        ServerOptions(threads=3),
        ServerOptions(threads=3, backend="io_uring"),
        ServerOptions(processes=3),
        ServerOptions(epoll_timeout_us=0),
        ServerOptions(epoll_timeout_us=0, backend="io_uring"),
        ServerOptions(quota_timer_us=500_000_000),
        ServerOptions(udp=True),
        ServerOptions(listeners=307),
    ],
    ids=str,
)
@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_signal_ends_the_server_at_once(options: ServerOptions, signal: str) -> None:
    with LabServer(options) as running:
        start = time.monotonic()
        subprocess.run(["kill", f"-{signal}", str(running.pid)], check=True)
        assert running._process is not None
        running._process.wait(5)
        seconds = time.monotonic() - start
    assert running.exit_status == 0
    assert len(running.counts) == max(options.threads, options.processes)
    assert seconds < 0.1


def test_pending_work_does_not_delay_the_end(connect):
    with LabServer(ServerOptions(work_us=10_000)) as running, connect("127.0.0.1", running.port) as client:
        client.socket.sendall(b"GET / HTTP/1.1\r\n\r\n" * 101)
        time.sleep(0.05)
        start = time.monotonic()
        running.stop()
        assert time.monotonic() - start < 0.1
    assert running.exit_status == 0
