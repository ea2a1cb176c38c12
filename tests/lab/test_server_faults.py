"""Each fault option has its effect, observed from outside the server."""

import fcntl
import os
import re
import signal
import socket
import struct
import time
from pathlib import Path

import pytest

from netprobe.lab.server import LabServer, ReactorCounts, ServerOptions

pytestmark = pytest.mark.timing("timers and load generators share two CPUs")

needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
EPIOCGPARAMS = 0x80088A02
SO_BUSY_POLL, SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET = 46, 69, 70


def tasks(pid: int) -> dict[str, Path]:
    found = {(task / "comm").read_text().strip(): task for task in Path(f"/proc/{pid}/task").iterdir()}
    return dict(sorted(found.items()))


def status(task: Path, field: str) -> str:
    return re.search(rf"^{field}:\s*(.*)$", (task / "status").read_text(), re.MULTILINE)[1]


def switches(task: Path) -> int:
    return int(status(task, "voluntary_ctxt_switches"))


def cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("backend", ["epoll", "io_uring"])
def test_thread_names(backend):
    with LabServer(ServerOptions(threads=3, quota_timer_us=10_007, backend=backend)) as server:
        names = list(tasks(server.pid))
    assert names == ["lab-server", "reactor-0", "reactor-1", "reactor-2", "timer-0", "timer-1", "timer-2"]


@needs_two_cpus
def test_threads_are_pinned_with_their_timers():
    with LabServer(ServerOptions(threads=3, cpus=(1, 0, 1), quota_timer_us=10_007)) as server:
        cpus = {name: status(task, "Cpus_allowed_list") for name, task in tasks(server.pid).items()}
    cpus.pop("lab-server")
    assert cpus == {
        "reactor-0": "1", "reactor-1": "0", "reactor-2": "1", "timer-0": "1", "timer-1": "0", "timer-2": "1",
    }  # fmt: skip


def test_unpinned_threads_may_run_on_all_cpus():
    with LabServer(ServerOptions(threads=2)) as server:
        found = tasks(server.pid)
        mine = status(Path("/proc/self"), "Cpus_allowed_list")
        assert {status(task, "Cpus_allowed_list") for task in found.values()} == {mine}


@pytest.mark.parametrize(
    ("order", "index_of"),
    [((), [0, 1, 2, 3, 4]), ("reversed", [4, 3, 2, 1, 0]), ((3, 0, 4, 1, 2), [1, 3, 4, 0, 2])],
)
@pytest.mark.parametrize("group", [{"threads": 5}, {"processes": 5}])
def test_listen_order_as_printed(order, index_of, group):
    with LabServer(ServerOptions(listen_order=order, verbose=True, **group)) as server:
        pass
    printed = dict(re.findall(r"reactor-(\d) index=(\d)", server.messages))
    assert [int(printed[str(reactor)]) for reactor in range(5)] == index_of


@pytest.mark.kernel
def test_listen_order_as_traced(traced):
    options = ServerOptions(threads=5, listen_order=(3, 0, 4, 1, 2))
    names = {}

    def during(pid, port):
        names.update({task.name: name for name, task in tasks(pid).items()})

    trace = traced(options, ["-e", "trace=listen"], during)
    listening = [names[line.split()[0]] for line in trace.splitlines() if "listen(" in line]
    assert listening == ["reactor-3", "reactor-0", "reactor-4", "reactor-1", "reactor-2"]


def ask_from_both_cpus(server, on_cpu, connect):
    for cpu, connections in ((0, 7), (1, 11)):
        on_cpu(cpu)
        for _ in range(connections):
            with connect("127.0.0.1", server.port) as client:
                client.ask(3)


FROM_CPU_0, FROM_CPU_1 = ReactorCounts(21, 7), ReactorCounts(33, 11)
STRAIGHT, CROSSED = {0: FROM_CPU_0, 1: FROM_CPU_1}, {0: FROM_CPU_1, 1: FROM_CPU_0}


@needs_two_cpus
@pytest.mark.kernel
@pytest.mark.parametrize("group", [{"threads": 2}, {"processes": 2}, {"threads": 2, "backend": "io_uring"}])
@pytest.mark.parametrize(
    ("steer", "order", "cpus", "expected"),
    [
        ("cbpf", (), (0, 1), STRAIGHT),
        ("cbpf", "reversed", (0, 1), CROSSED),
        ("ebpf", (), (0, 1), STRAIGHT),
        ("ebpf", "reversed", (0, 1), CROSSED),
        ("incoming-cpu", (), (0, 1), STRAIGHT),
        ("incoming-cpu", "reversed", (0, 1), STRAIGHT),
        ("incoming-cpu", (), (1, 0), CROSSED),
    ],
)
def test_steering(group, steer, order, cpus, expected, on_cpu, connect):
    options = ServerOptions(steer=steer, listen_order=order, cpus=cpus, listeners=3, **group)
    with LabServer(options) as server:
        ask_from_both_cpus(server, on_cpu, connect)
    assert server.counts == expected


@needs_two_cpus
@pytest.mark.kernel
@pytest.mark.parametrize(("order", "expected"), [((), {0: 7, 1: 11}), ("reversed", {0: 11, 1: 7})])
def test_udp_steering(order, expected, on_cpu):
    options = ServerOptions(udp=True, threads=2, cpus=(0, 1), steer="cbpf", listen_order=order)
    with LabServer(options) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        for cpu, datagrams in ((0, 7), (1, 11)):
            on_cpu(cpu)
            for _ in range(datagrams):
                client.sendto(b"prime", ("127.0.0.1", server.port))
                assert client.recv(16) == b"prime"
    assert {index: counts.requests for index, counts in server.counts.items()} == expected


def test_without_steering_the_hash_spreads_connections(connect):
    with LabServer(ServerOptions(threads=2)) as server:
        for _ in range(101):
            with connect("127.0.0.1", server.port) as client:
                client.ask()
    accepted = [counts.accepted for counts in server.counts.values()]
    assert sum(accepted) == 101
    assert min(accepted) > 20


def listening_sockets(port: int) -> int:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}") for line in lines)


@pytest.mark.parametrize("group", [{"threads": 2}, {"processes": 2}])
def test_extra_listeners_join_the_group(group):
    with LabServer(ServerOptions(listeners=307, **group)) as server:
        assert listening_sockets(server.port) == 309


@pytest.mark.parametrize("group", [{"threads": 2}, {"processes": 2}, {"threads": 2, "backend": "io_uring"}])
@pytest.mark.parametrize("closed", [0, 1])
def test_closed_listener_leaves_the_group(group, closed, connect):
    options = ServerOptions(close_listener=closed, listen_order="reversed", **group)
    with LabServer(options) as server:
        for _ in range(2):  # the second time does nothing
            os.kill(server.pid, signal.SIGUSR1)
            deadline = time.monotonic() + 5
            while listening_sockets(server.port) != 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert listening_sockets(server.port) == 1
        for _ in range(31):
            with connect("127.0.0.1", server.port) as client:
                client.ask()
    reactor = {0: 1, 1: 0}[closed]
    assert server.counts == {reactor: ReactorCounts(0, 0), 1 - reactor: ReactorCounts(31, 31)}


def test_extra_listener_can_be_closed():
    with LabServer(ServerOptions(listeners=3, close_listener=2)) as server:
        os.kill(server.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while listening_sockets(server.port) != 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert listening_sockets(server.port) == 3


@pytest.mark.parametrize("group", [{"threads": 1}, {"processes": 1}])
def test_signal_without_the_option_does_nothing(group, connect):
    with LabServer(ServerOptions(**group)) as server:
        os.kill(server.pid, signal.SIGUSR1)
        with connect("127.0.0.1", server.port) as client:
            client.ask()
    assert server.exit_status == 0


@pytest.mark.parametrize("backend", ["epoll", "io_uring"])
def test_timer_threads_tick_at_the_set_rate(backend):
    with LabServer(ServerOptions(threads=2, quota_timer_us=5_000, backend=backend)) as server:
        timers = [task for name, task in tasks(server.pid).items() if name.startswith("timer-")]
        before, start = [int(status(timer, "voluntary_ctxt_switches")) for timer in timers], time.monotonic()
        time.sleep(0.97)
        after, seconds = (
            [int(status(timer, "voluntary_ctxt_switches")) for timer in timers],
            time.monotonic() - start,
        )
    rates = [(a - b) / seconds for a, b in zip(after, before, strict=True)]
    assert all(rate == pytest.approx(200, rel=0.15) for rate in rates)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("timeout_us", "call"),
    [
        (-1, r"epoll_pwait\(\d+, .*, 256, -1,"),
        (0, r"epoll_pwait\(\d+, .*, 256, 0,"),
        (1_500, r"epoll_pwait2\(\d+, .*, 256, \{tv_sec=0, tv_nsec=1500000\},"),
        (2_000_003, r"epoll_pwait2\(\d+, .*, 256, \{tv_sec=2, tv_nsec=3000\},"),
    ],
)
def test_epoll_timeout(timeout_us, call, traced, connect):
    def during(pid, port):
        with connect("127.0.0.1", port) as client:
            for _ in range(23):
                client.ask()

    strace = ["-e", "trace=epoll_wait,epoll_pwait,epoll_pwait2"]
    lines = traced(ServerOptions(epoll_timeout_us=timeout_us), strace, during).splitlines()
    complete = [line for line in lines if "epoll_" in line and "unfinished" not in line and "resumed" not in line]
    assert complete
    assert all(re.search(call, line) for line in complete)


@pytest.mark.parametrize(("timeout_us", "spins"), [(-1, False), (0, True)])
@pytest.mark.parametrize("backend", ["epoll", "io_uring"])
def test_zero_timeout_never_sleeps(timeout_us, spins, backend):
    with LabServer(ServerOptions(epoll_timeout_us=timeout_us, backend=backend)) as server:
        before = cpu_seconds(server.pid)
        time.sleep(0.3)
        used = cpu_seconds(server.pid) - before
    assert (used > 0.05) == spins


@pytest.mark.kernel
@pytest.mark.parametrize(("receive", "call"), [("recv", "recvfrom"), ("read", "read")])
def test_receive(receive, call, traced, connect, fds_of):
    connection = []

    def during(pid, port):
        with connect("127.0.0.1", port) as client:
            client.ask()
            connection.append(fds_of(pid, "socket:")[-1])
            for _ in range(22):
                client.ask()

    trace = traced(ServerOptions(receive=receive), ["-e", "trace=read,recvfrom"], during)
    calls = re.findall(rf"(read|recvfrom)\({connection[0]}, \"GET", trace)
    assert calls == [call] * 23


@pytest.mark.kernel
@pytest.mark.parametrize(("flush", "calls"), [("now", "recv send recv send"), ("batched", "recv recv send send")])
def test_flush(flush, calls, traced, connect):
    def during(pid, port):
        with connect("127.0.0.1", port) as first, connect("127.0.0.1", port) as other:
            first.ask()
            other.ask()
            with connect("127.0.0.1", port) as busy:
                # During the work on this request both others become ready, so they are in the same batch.
                busy.socket.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
                time.sleep(0.03)
                first.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
                other.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
                busy.expect(3)
                first.expect(1)
                other.expect(1)

    options = ServerOptions(flush=flush, work_us=40_009)
    trace = traced(options, ["-e", "trace=recvfrom,sendto"], during)
    order = re.findall(r"(recv|send)(?:from|to)\(\d+, \"(?:GET|HTTP)", trace)
    assert " ".join(order[-4:]) == calls


def test_work_takes_cpu_time(connect):
    with LabServer(ServerOptions(work_us=5_003)) as server, connect("127.0.0.1", server.port) as client:
        client.ask()
        before = cpu_seconds(server.pid)
        client.ask(101)
        used = cpu_seconds(server.pid) - before
    # CPU time here includes time that the hypervisor steals.
    assert 0.47 < used < 0.8


@pytest.mark.kernel
def test_busy_polling_of_the_epoll_set(borrow, fds_of):
    options = ServerOptions(busy_poll_us=61, busy_poll_budget=13, prefer=True)
    params = bytearray(8)
    with LabServer(options) as server:
        epoll = fds_of(server.pid, "anon_inode:[eventpoll]")[0]
        with borrow(server.pid, epoll) as duplicate:
            fcntl.ioctl(duplicate, EPIOCGPARAMS, params)
    assert struct.unpack("IHBB", params) == (61, 13, 1, 0)


def socket_options(fd: int, *names: int) -> list[int]:
    with socket.socket(fileno=os.dup(fd)) as duplicate:
        return [duplicate.getsockopt(socket.SOL_SOCKET, name) for name in names]


@pytest.mark.kernel
def test_busy_polling_of_the_sockets_where_epoll_cannot(traced, connect, borrow, fds_of):
    read = []

    def during(pid, port):
        with connect("127.0.0.1", port) as client:
            client.ask()
            for fd in fds_of(pid, "socket:"):
                with borrow(pid, fd) as duplicate:
                    read.append(socket_options(duplicate, SO_BUSY_POLL, SO_PREFER_BUSY_POLL))

    options = ServerOptions(busy_poll_us=61, busy_poll_budget=13, prefer=True)
    strace = ["-e", "trace=ioctl,setsockopt", "-e", "inject=ioctl:error=ENOTTY"]
    trace = traced(options, strace, during)
    listener, connection = read
    assert listener == connection == [61, 1]
    # The budget can be set but not read.
    assert re.search(r"setsockopt\(\d+, SOL_SOCKET, (SO_BUSY_POLL_BUDGET|0x46[^,]*), \[13\], 4\) = 0", trace)


@pytest.mark.kernel
def test_busy_polling_of_the_ring(fds_of):
    with LabServer(ServerOptions(backend="io_uring", busy_poll_us=61, prefer=True)) as server:
        ring = fds_of(server.pid, "anon_inode:[io_uring]")[0]
        info = Path(f"/proc/{server.pid}/fdinfo/{ring}").read_text()
    assert "IORING_REGISTER_NAPI" not in server.messages
    assert re.search(r"NAPI:\s+enabled", info)
    assert re.search(r"napi_busy_poll_dt:\s+61000\b", info)  # ns
    assert re.search(r"napi_prefer_busy_poll:\s+true", info)
