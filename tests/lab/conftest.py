"""Clients and servers for the tests of the lab."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from netprobe.lab import server

REQUEST = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PIDFD_GETFD = 438


class Client:
    """A blocking HTTP client that checks the response of the server."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), timeout=5)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def ask(self, requests: int = 1) -> None:
        """Send that many requests at once and read exactly as many replies."""
        self.socket.sendall(REQUEST * requests)
        self.expect(requests)

    def expect(self, replies: int) -> None:
        wanted = REPLY * replies
        got = b""
        while len(got) < len(wanted):
            chunk = self.socket.recv(1 << 20)
            assert chunk, f"closed after {len(got)} of {len(wanted)} bytes"
            got += chunk
        assert got == wanted


@pytest.fixture
def connect() -> type[Client]:
    return Client


@pytest.fixture
def on_cpu() -> Iterator[Callable[[int], None]]:
    """Pin the test itself, so that its packets are received on that CPU."""
    before = os.sched_getaffinity(0)
    yield lambda cpu: os.sched_setaffinity(0, {cpu})
    os.sched_setaffinity(0, before)


@pytest.fixture
def borrow() -> Callable[[int, int], AbstractContextManager[int]]:
    """A duplicate of another process's file descriptor."""

    @contextmanager
    def duplicate(pid: int, fd: int) -> Iterator[int]:
        libc = ctypes.CDLL(None, use_errno=True)
        pidfd = os.pidfd_open(pid)
        copy = libc.syscall(PIDFD_GETFD, pidfd, fd, 0)
        os.close(pidfd)
        assert copy >= 0, os.strerror(ctypes.get_errno())
        try:
            yield copy
        finally:
            os.close(copy)

    return duplicate


@contextmanager
def running(command: list[str]) -> Iterator[tuple[int, int]]:
    """A server started by another program: its PID and port."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        port, pid = (int(word.split("=")[1]) for word in process.stdout.readline().split()[1:])
        try:
            yield pid, port
        finally:
            os.kill(pid, signal.SIGTERM)
            process.wait(5)


@pytest.fixture
def start() -> Callable[[list[str]], AbstractContextManager[tuple[int, int]]]:
    return running


@pytest.fixture
def fds_of() -> Callable[[int, str], list[int]]:
    """The file descriptors of a process whose link target starts with a text."""

    def find(pid: int, start: str) -> list[int]:
        links = {}
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                links[int(fd.name)] = os.readlink(fd)
        return sorted(fd for fd, link in links.items() if link.startswith(start))

    return find


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., str]:
    """Run the server under strace while `during(pid, port)` runs; the trace of the reactors."""

    def run(options: server.ServerOptions, strace: list[str], during: Callable[[int, int], None]) -> str:
        output = tmp_path / "trace"
        command = ["strace", "-f", "-qq", "-o", str(output), *strace, str(server.build()), *options.argv()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            port, pid = (int(word.split("=")[1]) for word in ready.split()[1:])
            try:
                during(pid, port)
            finally:
                os.kill(pid, 15)
                process.wait(5)
        return output.read_text()

    return run
