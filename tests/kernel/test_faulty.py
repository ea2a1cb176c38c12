"""A small server with one fault at a time under load: the finding is the first or second; without it there is none."""

import contextlib
import socket
import subprocess
import threading
import time

import pytest

pytestmark = pytest.mark.timing("the shares of time depend on what else runs on the machine")
LOAD_S = 15
# Connects again and again in 32 threads: connects SECONDS URL.
CONNECTS = """
import socket, sys, threading, time, urllib.parse
port, end = urllib.parse.urlsplit(sys.argv[2]).port, time.time() + float(sys.argv[1])
def connect():
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
        except OSError:
            pass
for _ in range(32):
    threading.Thread(target=connect).start()
"""


@pytest.fixture
def faulty(workload, tmp_path):
    """Start the server: (fault, *arguments) -> (PID, port)."""
    started = []

    def start(*arguments):
        command = [workload("faulty"), *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
        started.append(process)
        return process.pid, int(process.stdout.readline())

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def load():
    """Keep-alive connections to a port, for a bounded time."""
    started = []

    def start(port, *command):
        command = command or ("wrk", "-t1", "-c16", f"-d{LOAD_S}")
        started.append(subprocess.Popen([*command, f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL))
        time.sleep(0.3)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def slow_backend():
    """Answers each byte after 5 ms; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def answer(connection):
        with connection, contextlib.suppress(ConnectionError):
            while connection.recv(1):
                time.sleep(0.005)
                connection.send(b"y")

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def recorded(netprobe, pid, tmp_path):
    document = netprobe("record", "-p", pid, "-d", 2, "-o", tmp_path / "run", "--json").json()
    return document["findings"], document["verdict"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("fsync", "storage-wait"),
        ("lock", "lock-contention"),
        ("hot", "uneven-load"),
        ("sleep", "blocking-in-event-loop"),
        ("nagle", "delayed-ack"),
    ],
)
def test_the_fault_is_named_first_or_second(netprobe, faulty, load, tmp_path, fault, code):
    pid, port = faulty(fault)
    load(port)
    findings, _ = recorded(netprobe, pid, tmp_path)
    assert code in [finding["code"] for finding in findings[:2]]


def test_a_blocking_backend_is_named_by_address(netprobe, faulty, load, slow_backend, tmp_path):
    pid, port = faulty("backend", slow_backend)
    load(port)
    findings, verdict = recorded(netprobe, pid, tmp_path)
    assert findings[0]["code"] == "waits-for-backend"
    assert f"127.0.0.1:{slow_backend}" in findings[0]["summary"]
    assert findings[0]["estimated_cost_pct"] > 80
    assert verdict["state"] == "waiting"


def test_a_listener_that_overflows(netprobe, faulty, load, tmp_path):
    pid, port = faulty("backlog")
    load(port, "python3", "-c", CONNECTS, str(LOAD_S))
    findings, _ = recorded(netprobe, pid, tmp_path)
    assert "accept-queue-overflow" in [finding["code"] for finding in findings[:2]]


def test_without_a_fault_none_of_these_is_named(netprobe, faulty, load, tmp_path):
    pid, port = faulty("none")
    load(port)
    findings, _ = recorded(netprobe, pid, tmp_path)
    assert [finding["code"] for finding in findings if finding["severity"] == "major"] == []
