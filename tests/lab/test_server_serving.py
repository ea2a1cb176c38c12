import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from netprobe.lab.server import LabServer, ReactorCounts, ServerOptions, build

BACKENDS = [
    ServerOptions(),
    ServerOptions(receive="read"),
    ServerOptions(flush="batched"),
    ServerOptions(epoll_timeout_us=0),
    ServerOptions(epoll_timeout_us=701),
    ServerOptions(quota_timer_us=53),
    ServerOptions(backend="io_uring"),
    ServerOptions(backend="io_uring", receive="read"),
    ServerOptions(backend="io_uring", flush="batched"),
    ServerOptions(backend="io_uring", epoll_timeout_us=0),
    ServerOptions(backend="io_uring", epoll_timeout_us=701),
    ServerOptions(backend="io_uring", quota_timer_us=53),
    ServerOptions(processes=1),
    ServerOptions(processes=1, backend="io_uring"),
]
SHORT = b"GET / HTTP/1.1\r\n\r\n"
REPLY_BYTES = 40


@pytest.fixture(params=BACKENDS, ids=str)
def options(request: pytest.FixtureRequest) -> ServerOptions:
    chosen: ServerOptions = request.param
    return chosen


def test_each_pipelined_request_gets_a_response(options, connect):
    with LabServer(options) as server, connect("127.0.0.1", server.port) as client:
        for requests in (1, 23, 211):
            client.ask(requests)
    assert server.counts == {0: ReactorCounts(requests=235, accepted=1)}


def test_request_may_arrive_in_pieces(options, connect):
    with LabServer(options) as server, connect("127.0.0.1", server.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in SHORT * 3:
            client.socket.sendall(bytes([byte]))
        client.expect(3)
        client.socket.sendall(b"GET / HTTP/1.1\r\nX: \r\r\n\r")
        client.socket.sendall(b"\n")
        client.expect(1)
    assert server.counts[0].requests == 4


def test_many_connections(options, connect):
    with LabServer(options) as server:
        clients = [connect("127.0.0.1", server.port) for _ in range(101)]
        for client in clients:
            client.socket.sendall(SHORT * 7)
        for client in clients:
            client.expect(7)
            client.socket.close()
    assert server.counts[0] == ReactorCounts(requests=707, accepted=101)


def test_client_that_reads_late_receives_everything(options, connect):
    requests = 100_003
    with LabServer(options) as server, connect("127.0.0.1", server.port) as client:

        def send() -> None:
            client.socket.sendall(SHORT * requests)
            client.socket.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.1)
        received = 0
        while chunk := client.socket.recv(1 << 20):
            received += len(chunk)
        sender.join()
    assert received == requests * REPLY_BYTES
    assert server.counts[0].requests == requests


def test_aborted_connections_are_closed(options, connect, fds_of):
    with LabServer(options) as server:
        pid = server.pid if not options.processes else int(children(server.pid)[0])
        before = len(fds_of(pid, "socket:"))
        for _ in range(13):
            with connect("127.0.0.1", server.port) as client:
                client.ask()
                client.socket.sendall(SHORT * 5)
                linger = b"\x01\0\0\0\0\0\0\0"  # close sends a reset
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with connect("127.0.0.1", server.port) as client:
            client.ask()
        deadline = time.monotonic() + 5
        while len(fds_of(pid, "socket:")) > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(fds_of(pid, "socket:")) == before


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(("address", "clients"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
@pytest.mark.parametrize("backend", ["epoll", "io_uring"])
def test_ipv6(address, clients, backend, connect):
    with LabServer(ServerOptions(address=address, backend=backend)) as server:
        for client_address in clients:
            with connect(client_address, server.port) as client:
                client.ask(11)
    assert server.counts[0] == ReactorCounts(requests=11 * len(clients), accepted=len(clients))


@pytest.mark.parametrize(
    "options",
    [
        ServerOptions(udp=True),
        ServerOptions(udp=True, flush="batched"),
        ServerOptions(udp=True, epoll_timeout_us=101, quota_timer_us=53),
        ServerOptions(udp=True, processes=1),
        ServerOptions(udp=True, address="::1"),
    ],
    ids=str,
)
def test_udp_echoes_each_datagram(options):
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    with LabServer(options) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((options.address, server.port))
        sent = [bytes([number]) * size for number, size in enumerate([1, 0, 1472, 8191, 60013] + [97] * 48)]
        for datagram in sent:
            client.send(datagram)
        assert [client.recv(65536) for _ in sent] == sent
    assert server.counts[0] == ReactorCounts(requests=53, accepted=0)


@pytest.mark.parametrize("backend", ["epoll", "io_uring"])
def test_full_table_refuses_further_connections(backend, start, connect):
    room = 131  # 200 files, less 64 for other things and 5 for each reactor
    with (
        start(["prlimit", "--nofile=200:200", str(build()), f"--backend={backend}"]) as (_, port),
        contextlib.ExitStack() as open_clients,
    ):
        clients = [open_clients.enter_context(connect("127.0.0.1", port)) for _ in range(room)]
        clients[-1].ask()
        with connect("127.0.0.1", port) as late:
            assert late.socket.recv(1) == b""
        clients[0].socket.close()
        clients[1].ask()
        with connect("127.0.0.1", port) as next_one:
            next_one.ask()


def test_each_process_serves_one_listener_and_has_all_open(connect, fds_of):
    with LabServer(ServerOptions(processes=3, listeners=5)) as server:
        workers = [int(child) for child in children(server.pid)]
        names = [Path(f"/proc/{worker}/comm").read_text().strip() for worker in workers]
        assert names == ["reactor-0", "reactor-1", "reactor-2"]
        assert [len(fds_of(worker, "socket:")) for worker in workers] == [8, 8, 8]


def test_processes_share_the_work(connect):
    with LabServer(ServerOptions(processes=2)) as server:
        for _ in range(101):
            with connect("127.0.0.1", server.port) as client:
                client.ask(3)
    assert sum(count.accepted for count in server.counts.values()) == 101
    assert sum(count.requests for count in server.counts.values()) == 303
    assert min(count.accepted for count in server.counts.values()) > 0


def test_dead_worker_ends_the_server():
    with LabServer(ServerOptions(processes=3)) as server:
        workers = children(server.pid)
        os.kill(int(workers[1]), signal.SIGKILL)
        assert server._process is not None
        server._process.wait(5)
    assert server.exit_status == 1
    assert "a worker ended unexpectedly" in server.messages
    assert not any(Path("/proc", worker).exists() for worker in workers)


def test_workers_end_with_their_parent():
    with LabServer(ServerOptions(processes=3)) as server:
        workers = children(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(is_running(worker) for worker in workers)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
