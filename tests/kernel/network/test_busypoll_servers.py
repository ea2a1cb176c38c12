"""Busy polling without epoll and in other servers; inspection has no effect on connections."""

import os
import random
import re
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from netprobe.lab.nginx import free_port

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
    pytest.mark.timing("busy-poll hits depend on when packets arrive"),
]
PORT = 18080  # in a namespace of its own


@pytest.fixture
def polled(lab, look, start, script):
    """Record a small server in the lab's namespace: (options of the lab, how it waits, its arguments)."""

    def run(lab_options, way, *words, prepare=None, connections=1):
        up = lab(**{"queues": 1} | lab_options)
        if prepare:
            prepare()
        command = ["taskset", "-c", "0", *script(way, up.server.address, PORT, *words)]
        server = start(command, up.server.address, PORT, up.server.namespace)
        return look("busypoll", server, namespace=up.client.namespace, cpus=(1,), connections=connections)

    return run


def test_blocking_receive(polled):
    """SO_BUSY_POLL on the socket; recv() polls."""
    seen = polled({"busy_poll_us": 0, "defer": True}, "blocking", "busy-poll")
    assert seen.total("attempts") > 1000
    assert seen.total("packets") > 0
    check = seen.check("busy polling is enabled")
    assert check["state"] == "ok"
    assert "connections with SO_BUSY_POLL: 1 of 1" in check["evidence"]
    assert seen.document["cross_check"]["disagrees"] is False


def test_blocking_receive_without_the_option(polled):
    seen = polled({"busy_poll_us": 50, "defer": True}, "blocking")
    assert seen.document["polls"] == []
    assert seen.requests > 100
    # net.core.busy_poll is for poll, select and epoll: one that only calls recv() needs busy_read or SO_BUSY_POLL.
    assert seen.check("busy polling is enabled")["state"] == "failed"
    assert seen.verdict["kind"] == "none"


def test_busy_read(polled, busy_read):
    """net.core.busy_read is the initial value of new sockets."""
    seen = polled({"busy_poll_us": 0, "defer": True}, "blocking", prepare=lambda: busy_read(50))
    assert seen.total("attempts") > 1000
    assert seen.check("busy polling is enabled")["state"] == "ok"


@pytest.mark.parametrize("way", ["poll", "select"])
def test_poll_and_select(polled, way):
    """They need both net.core.busy_poll and a time on the socket (sk_can_busy_loop())."""
    seen = polled({"busy_poll_us": 50, "defer": True}, way, "busy-poll", connections=4)
    assert seen.total("attempts") > 1000
    assert {row["process"][:6] for row in seen.document["polls"]} == {"python"}
    assert seen.document["cross_check"]["disagrees"] is False


def test_poll_without_a_time_on_the_sockets(polled):
    seen = polled({"busy_poll_us": 50, "defer": True}, "poll", connections=4)
    assert seen.document["polls"] == []
    assert seen.requests > 100
    assert seen.check("busy polling is enabled")["state"] == "failed"
    assert seen.verdict["kind"] == "none"


def test_redis(lab, redis, redis_load, recording, shown):
    up = lab(queues=1, busy_poll_us=50)
    server = redis(up.server.address, PORT, up.server.namespace)
    session = recording("busypoll", "-p", server.pid, "-d", 60, "--json")
    with redis_load(up.server.address, PORT, up.client.namespace):
        time.sleep(1)
        seen = shown(session.stop().json(), 0)
    assert {(row["process"], row["tid"]) for row in seen.document["polls"]} == {("redis-server", server.pid)}
    assert seen.total("attempts") > 1000
    assert seen.check("connections have")["evidence"] == "16 of 16 connections have a NAPI id"
    assert seen.verdict["kind"] in ("softirq first", "good")
    assert seen.document["cross_check"]["disagrees"] is False


def test_haproxy(lab, haproxy, look):
    up = lab(queues=1, busy_poll_us=50)
    server = haproxy(up.server.address, PORT, up.server.namespace)
    seen = look("busypoll", server, namespace=up.client.namespace, cpus=(1,), connections=16)
    assert {row["process"] for row in seen.document["polls"]} <= {"haproxy"}
    assert seen.check("connections have")["evidence"] == "16 of 16 connections have a NAPI id"
    attempts = seen.total("attempts")
    # It polls for work with a timeout of 0 as long as it has some.
    assert attempts > 100 or seen.verdict["kind"] in ("none", "inconclusive")
    assert seen.document["cross_check"]["disagrees"] is False


# ---- The FIN ----

LATE_NS = 30_000_000


class Closings:
    """Keeps 40 connections open, makes the server close them at random, and records the delay of each EOF."""

    def __init__(self, port: int) -> None:
        self._port, self._stop = port, threading.Event()
        self.late_ns: list[int] = []
        self._thread = threading.Thread(target=self._run)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=5)

    def _run(self) -> None:
        choose = random.Random(7919)
        open_now = [self._connect() for _ in range(40)]
        while not self._stop.is_set():
            one = open_now.pop(choose.randrange(len(open_now)))
            one.sendall(b"x")
            closed_ns = int(one.recv(64))
            assert one.recv(1) == b""
            self.late_ns.append(time.monotonic_ns() - closed_ns)
            one.close()
            open_now.append(self._connect())
            time.sleep(0.0005)
        for one in open_now:
            one.close()

    def __enter__(self) -> "Closings":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def closing(start, script):
    """The port of a server that closes connections after its answer, and its process."""
    port = free_port()
    return start(script("closing", "127.0.0.1", port), "127.0.0.1", port)


FIN, ETH_P_ALL = 0x01, 3


class Fins(threading.Thread):
    """FINs that a port sent, by the other port, with kernel timestamps: packets on `lo` (AF_PACKET)."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self.fins: dict[int, int] = {}
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._packets.bind(("lo", 0))
        self._packets.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        self._packets.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._packets.settimeout(0.2)
        self.sent: dict[int, int] = {}
        self.stop = False

    def run(self) -> None:
        while not self.stop:
            try:
                frame, stamps, _, _ = self._packets.recvmsg(128, 64)
            except TimeoutError:
                continue
            source, to, offset, flags = struct.unpack_from("!HH8xBB", frame, 14 + 20)
            payload = struct.unpack_from("!H", frame, 14 + 2)[0] - 20 - 4 * (offset >> 4)
            seconds, ns = struct.unpack("qq", stamps[0][2][:16])
            if source == self._port and flags & FIN:
                self.fins.setdefault(to, seconds * 10**9 + ns)
            elif source == self._port and payload > 0:
                self.sent.setdefault(to, seconds * 10**9 + ns)  # the answer, sent just before close()
        self._packets.close()


def test_no_fin_is_delayed(closing, netprobe):
    """Time from the packet of the answer to that of the FIN, while netprobe inspects connections repeatedly."""
    capture = Fins(closing.port)
    capture.start()
    with Closings(closing.port) as clients:
        time.sleep(0.3)
        for _ in range(3):
            document = netprobe("busypoll", "-p", str(closing.pid), "-d", "0.05", "--json").json()
            (check,) = [check for check in document["checks"] if check["name"].startswith("connections have")]
            # It did look at them.
            assert re.search(r"[1-9]\d+ connections ha", check["evidence"])
            netprobe("locality", "-p", str(closing.pid), "-d", "0.05")
    capture.stop = True
    capture.join()
    assert len(clients.late_ns) > 500
    gaps = sorted(capture.fins[port] - sent for port, sent in capture.sent.items() if port in capture.fins)
    assert len(gaps) > 500
    # Two packets of one thread: only the scheduler comes between them.
    assert gaps[len(gaps) * 99 // 100] < 2_000_000
    assert gaps[-1] < LATE_NS, gaps[-5:]
    print(f"gaps {len(gaps)}: 50 % {gaps[len(gaps) // 2]}, 99 % {gaps[len(gaps) * 99 // 100]}, max {gaps[-1]} ns")
    late = sorted(clients.late_ns)
    assert late[len(late) * 95 // 100] < 10_000_000


def test_the_measurement_detects_a_delay(closing, borrow):
    """The same with a duplicate that stays open for 60 ms: the FIN waits for it."""
    with Closings(closing.port) as clients:
        time.sleep(0.2)
        for _ in range(5):
            sockets = []
            for name in os.listdir(f"/proc/{closing.pid}/fd"):
                with suppress(FileNotFoundError):  # closed meanwhile
                    if os.readlink(f"/proc/{closing.pid}/fd/{name}").startswith("socket:"):
                        sockets.append(int(name))
            with ExitStack() as copies:
                for number in sockets[-30:]:
                    with suppress(AssertionError):  # closed meanwhile
                        copies.enter_context(borrow(closing.pid, number))
                time.sleep(0.06)
    assert max(clients.late_ns) > LATE_NS


def test_no_descriptor_of_a_connection_is_duplicated(closing, recording):
    """Independent of timing: netprobe never calls pidfd_getfd on a socket."""
    with Closings(closing.port):
        session = recording(
            "busypoll", "-p", closing.pid, "-d", "0.3", "--json",
            prefix=("strace", "-f", "-qq", "-e", "trace=pidfd_getfd", "-y", "-o", "/dev/stderr"),
        )  # fmt: skip
        done = session.finish()
    calls = [line for line in done.err.splitlines() if "pidfd_getfd(" in line]
    assert calls, done.err
    assert not [line for line in calls if "socket:" in line.rpartition("=")[2] or "TCP" in line.rpartition("=")[2]]
