"""Tests that run in a virtual machine with a stock kernel (scripts/test-kernels), and nowhere else.

Everything is some twenty times slower there than on the machine itself, and may stand still for minutes: tests wait
for conditions. netprobe is imported once; each recording is a fork of that process, which saves the minute that an
interpreter and its imports take.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

BOOT = os.environ.get("NETPROBE_VM", "")
DISK = Path(os.environ.get("NETPROBE_VM_DISK", "/nowhere"))
PATIENCE_S = 1200.0
collect_ignore_glob = [] if BOOT else ["*/test_*.py"]


# ---- What the document gets ----


@pytest.fixture
def holds(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Report a feature that works to the document: (feature, attach mechanism, observation)."""

    def tell(feature: str, mechanism: str, observation: str) -> None:
        record_property("result", {"feature": feature, "mechanism": mechanism, "observation": observation})

    return tell


# ---- Waiting ----


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition is true; return its value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="session", name="wait_for")
def wait_for_fixture() -> Callable[..., Any]:
    return wait_for


# ---- netprobe, from a process that has imported it ----


@pytest.fixture(scope="session")
def warm() -> None:
    """Import the modules of every recording, and load the compiler."""
    import netprobe.analysis.busypoll
    import netprobe.analysis.locality
    import netprobe.cli
    import netprobe.commands.busypoll
    import netprobe.commands.locality
    import netprobe.commands.record
    import netprobe.commands.syscalls
    import netprobe.engine.counting
    import netprobe.engine.interval_loop
    import netprobe.engine.observe_groups
    import netprobe.engine.observe_polling
    import netprobe.engine.observe_stacks
    import netprobe.engine.program
    import netprobe.engine.recorded_run
    import netprobe.engine.recorder
    import netprobe.engine.target
    import netprobe.run.store  # noqa: F401
    from netprobe.engine.bcc_compiler import import_bcc

    import_bcc()


class Outcome:
    """Exit status and output of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    def json(self) -> dict[str, Any]:
        """Standard output as one JSON document."""
        assert self.status == 0, self.err
        assert "Traceback" not in self.err
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def refused(self) -> str:
        """The message of a command that could not be done."""
        assert (self.status, self.out) == (2, ""), (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        return self.err


class Recording:
    """A netprobe that runs as a fork of this process."""

    def __init__(self, folder: Path, arguments: list[str], mechanism: str, prepare: Callable[[], None]) -> None:
        folder.mkdir()
        self._out, self._err = folder / "out", folder / "err"
        self._status: int | None = None
        self._out.touch(mode=0o666)
        self._err.touch(mode=0o666)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._become(arguments, mechanism, prepare)

    def _become(self, arguments: list[str], mechanism: str, prepare: Callable[[], None]) -> None:
        """The child's life: never returns."""
        status = 70
        try:
            for number, path in ((0, Path(os.devnull)), (1, self._out), (2, self._err)):
                opened = os.open(path, os.O_RDWR)
                os.dup2(opened, number)
                os.close(opened)
            sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ["NETPROBE_TEST_ATTACH_MECHANISM"] = mechanism
            prepare()
            sys.argv = ["netprobe", *arguments]
            from netprobe.cli import main

            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(status)

    def _poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def errors(self) -> str:
        return self._err.read_text(errors="replace")

    def attached(self) -> "Recording":
        """Wait until it records."""
        wait_for(lambda: "Attached in" in self.errors() or self._poll() is not None, "the attachment")
        assert "Attached in" in self.errors(), self.errors()
        return self

    def stop(self) -> Outcome:
        """End it as Ctrl-C does."""
        os.kill(self.pid, signal.SIGINT)
        return self.finish()

    def finish(self) -> Outcome:
        """Wait for its end."""
        wait_for(lambda: self._poll() is not None, "the recording's end")
        assert self._status is not None
        return Outcome(self._status, self._out.read_text(), self.errors())

    def end(self) -> None:
        """Whatever it does."""
        if self._poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def recording(warm: None, tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Start netprobe and wait until it records: (arguments, mechanism=…, prepare=what its process does first)."""
    started: list[Recording] = []

    def start(
        *arguments: Any, attached: bool = True, mechanism: str = "", prepare: Callable[[], None] = lambda: None
    ) -> Recording:
        words = [str(one) for one in arguments]
        started.append(Recording(tmp_path / f"recording-{len(started)}", words, mechanism, prepare))
        return started[-1].attached() if attached else started[-1]

    yield start
    for one in started:
        one.end()


# ---- Workloads of tests/kernel, compiled by the host ----


@contextmanager
def gate(name: str, *arguments: Any) -> Iterator[Any]:
    import subprocess

    command = [DISK / "workloads" / name, "gate", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def record_workload(recording: Callable[..., Recording]) -> Callable[..., tuple[Outcome, bytes]]:
    """Record a workload of tests/kernel from its gate to its end: its outcome, and what it printed."""

    def run(name: str, arguments: list[Any], *options: Any, **how: Any) -> tuple[Outcome, bytes]:
        command, *rest = options
        with gate(name, *arguments) as target:
            session = recording(command, "-p", target.pid, "-d", 3600, *rest, **how)
            printed, _ = target.communicate(b"g")
            assert target.returncode == 0
            return session.finish(), printed

    return run


# ---- Requests, counted and from a known CPU ----


REQUEST = b"GET / HTTP/1.1\r\nHost: netprobe\r\n\r\n"


@contextmanager
def on_cpu(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _ask(cpu: int, address: str, port: int, count: int) -> None:
    import socket

    with on_cpu(cpu), socket.create_connection((address, port), timeout=PATIENCE_S) as connection:
        for _ in range(count):
            connection.sendall(REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer:
                got = connection.recv(4096)
                assert got, "the server closed the connection"
                answer += got


def _in_namespace(name: str) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    assert libc.setns(fd, 0x40000000) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture(scope="session")
def ask() -> Callable[..., None]:
    """Send so many requests over one connection from this CPU, each when the one before is answered."""

    def send(cpu: int, address: str, port: int, count: int, namespace: str = "") -> None:
        if not namespace:
            _ask(cpu, address, port, count)
            return
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _in_namespace(namespace)
                _ask(cpu, address, port, count)
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "the client failed"

    return send


# ---- The lab ----


@pytest.fixture
def lab() -> Iterator[Callable[..., Any]]:
    """Create the namespaces of the lab; they are removed after the test."""
    from netprobe.lab import namespaces

    yield lambda **options: namespaces.up(namespaces.LabOptions(**options))
    namespaces.down()


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Start the lab server: (its options, namespace=…)."""
    from netprobe.lab.server import LabServer, ServerOptions

    started: list[LabServer] = []

    def run(namespace: str | None = None, **options: Any) -> LabServer:
        started.append(LabServer(ServerOptions(**options), namespace=namespace, ready_seconds=PATIENCE_S))
        started[-1].start()
        return started[-1]

    yield run
    for one in started:
        one.stop()


# ---- Rules ----


@pytest.fixture
def record_served(lab: Any, serve: Any, recording: Any, ask: Any, tmp_path: Path) -> Callable[..., Path]:
    """Record everything of a server behind a device while it answers: (what happens to its namespace first)."""

    def run(prepare: Callable[[Any], None] = lambda end: None, requests: int = 1009) -> Path:
        up = lab(queues=1)
        prepare(up.server)
        server = serve(up.server.namespace, cpus=(0,), address=up.server.address)
        session = recording("record", "-p", server.pid, "-d", 3600, "-F", 997, "-o", tmp_path / "run", "--json")
        ask(1, up.server.address, server.port, requests, up.client.namespace)
        session.stop().json()
        return tmp_path / "run"

    return run


@pytest.fixture
def evaluated() -> Callable[..., Any]:
    """Result of a rule for a Run: (path of the Run, code)."""

    def evaluate(path: Path, code: str) -> Any:
        import netprobe as package

        (found,) = [result for result in package.load(path).results() if result.code == code]
        return found

    return evaluate


@pytest.fixture
def kernel_functions() -> set[str]:
    """Functions that this kernel lists."""
    return {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines() if line.split()[1] in "tT"}
