"""Load from a known CPU, and recordings of locality and busypoll under that load."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

import netprobe.render
from netprobe.lab import namespaces
from netprobe.load.generator import wrk_command
from netprobe.load.reports import parse_wrk

HERE = Path(__file__).parent
PIDFD_GETFD = 438
SO_INCOMING_NAPI_ID = 56
BUSY_POLL = Path("/proc/sys/net/core/busy_poll")
BUSY_READ = Path("/proc/sys/net/core/busy_read")


class Load:
    """wrk on each of these CPUs inside the context; afterwards `requests` is the number of answers."""

    def __init__(self, url: str, cpus: tuple[int, ...], connections: int, namespace: str) -> None:
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        self._commands = [
            [*inside, "taskset", "-c", str(cpu), *wrk_command(url, 60, connections)] for cpu in cpus
        ]  # fmt: skip
        self.requests = 0

    def __enter__(self) -> "Load":
        self._running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for command in self._commands
        ]
        return self

    def __exit__(self, *error: object) -> None:
        said = [self._end(one) for one in self._running]
        if error[0] is None:
            self.requests = sum(parse_wrk(text).requests for text in said)

    def _end(self, one: "subprocess.Popen[str]") -> str:
        """Its summary. A signal that comes just before wrk's sleep() is not seen: one more is."""
        for _ in range(100):
            one.send_signal(signal.SIGINT)
            try:
                return one.communicate(timeout=0.2)[0]
            except subprocess.TimeoutExpired:
                continue
        one.kill()
        raise AssertionError(f"wrk does not end: {one.communicate()[0]}")


def url_of(address: str, port: int) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"


@pytest.fixture(autouse=True)
def before_others() -> Iterator[None]:
    """Other processes must not preempt a busy poller: there are only two CPUs."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, before)


@pytest.fixture
def load() -> Callable[..., Load]:
    """`with load(url, cpus=…, connections=…, namespace=…):`"""

    def start(url: str, cpus: tuple[int, ...] = (0, 1), connections: int = 8, namespace: str = "") -> Load:
        return Load(url, cpus, connections, namespace)

    return start


def validate(document: dict[str, Any]) -> dict[str, Any]:
    folder = Path(netprobe.render.__file__).parent / "schema"
    contents = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in contents
    )
    schema = json.loads((folder / f"{document['command']}.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)
    return document


@pytest.fixture(name="validate")
def validate_fixture() -> Callable[[dict[str, Any]], dict[str, Any]]:
    return validate


class Look:
    """Output of a command about a server under load."""

    def __init__(self, document: dict[str, Any], requests: int) -> None:
        self.document, self.requests = validate(document), requests
        self.verdict = document["verdict"]

    # ---- locality ----

    @property
    def group(self) -> dict[str, Any]:
        """The only group."""
        (group,) = self.document["groups"]
        return dict(group)

    def evaluated(self) -> list[tuple[int, str, str]]:
        """(index, thread that serves, verdict) of each member; one thread a member."""
        found = []
        for member in self.group["members"]:
            (thread,) = {(one["tid"], one["thread"]) for one in member["served_by"]}
            found.append((member["index"], thread[1], member["verdict"]))
        return found

    def matrix(self) -> Counter[tuple[int, int]]:
        cells: Counter[tuple[int, int]] = Counter()
        for row in self.document["messages"]:
            cells[row["rx_cpu"], row["cpu"]] += row["messages"]
        return cells

    @property
    def messages(self) -> int:
        return self.matrix().total()

    @property
    def diagonal_pct(self) -> float:
        cells = self.matrix()
        return 100 * sum(count for (rx, cpu), count in cells.items() if rx == cpu) / cells.total()

    # ---- busypoll ----

    def check(self, start: str) -> dict[str, Any]:
        (check,) = [check for check in self.document["checks"] if check["name"].startswith(start)]
        return dict(check)

    def total(self, column: str) -> int:
        return sum(row[column] for row in self.document["polls"])


@pytest.fixture
def look(recording: Callable[..., Any], load: Callable[..., Load]) -> Callable[..., Look]:
    """Attach to a running server, load it, and stop the recording while the load runs, or after it."""

    def run(command: str, server: Any, *options: Any, seconds: float = 1.0, after: bool = False, **under: Any) -> Look:
        session = recording(command, "-p", server.pid, "-d", 60, "--json", *options)
        url = under.pop("url", None) or url_of(under.pop("address", server.address), server.port)
        with load(url, **under) as wrk:
            time.sleep(seconds)
            if not after:
                document = session.stop().json()
        if after:
            document = session.stop().json()
        return Look(document, wrk.requests)

    return run


@pytest.fixture
def groups(netprobe: Callable[..., Any]) -> Callable[..., tuple[Look, float]]:
    """The groups of a process from --groups-only, and the seconds that it took."""

    def read(pid: int, *options: str) -> tuple[Look, float]:
        began = time.monotonic()
        document = netprobe("locality", "-p", str(pid), "--groups-only", "--json", *options).json()
        seconds = time.monotonic() - began
        return Look(document, 0), seconds

    return read


@pytest.fixture
def shown() -> type[Look]:
    """Access to a document that was recorded in another way."""
    return Look


# ---- Namespaces ----


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def machine() -> dict[str, object]:
    return {
        "namespaces": output("ip", "netns", "list"),
        "busy_poll": BUSY_POLL.read_text(),
        "busy_read": BUSY_READ.read_text(),
        "state": namespaces.STATE.exists(),
    }


def in_use() -> bool:
    """Whether a process is in the network namespaces of the lab."""
    ends = (namespaces.SERVER, namespaces.CLIENT)
    return any(output("ip", "netns", "pids", end) for end in ends if Path("/run/netns", end).exists())


@pytest.fixture
def no_lab() -> Iterator[None]:
    """No namespaces before and after the test, and all settings restored."""
    if namespaces.is_up() and not in_use():
        namespaces.down()  # a killed test left it
    assert not namespaces.is_up(), "a lab is up: netprobe lab down"
    before = machine()
    yield
    assert machine() == before


@pytest.fixture
def lab(no_lab: None) -> Iterator[Callable[..., namespaces.Lab]]:
    """Create the namespaces; they are removed after the test."""
    yield lambda **options: namespaces.up(namespaces.LabOptions(**options))
    namespaces.down()


@pytest.fixture
def inside() -> Callable[..., str]:
    """Run a command in a namespace, to its end: (namespace, *command)."""
    return lambda namespace, *command: output("ip", "netns", "exec", namespace, *command)


@pytest.fixture
def busy_read() -> Iterator[Callable[[int], None]]:
    """Set net.core.busy_read, for sockets made from now on."""
    before = BUSY_READ.read_text()
    yield lambda microseconds: BUSY_READ.write_text(f"{microseconds}\n") and None
    BUSY_READ.write_text(before)


@pytest.fixture
def kernel_packets() -> Callable[[int], int]:
    """BusyPollRxPackets of a process's network namespace."""

    def read(pid: int) -> int:
        lines = Path(f"/proc/{pid}/net/netstat").read_text().splitlines()
        names, values = (line.split() for line in lines if line.startswith("TcpExt"))
        return int(values[names.index("BusyPollRxPackets")])

    return read


# ---- Processes ----


@contextmanager
def borrowed(pid: int, fd: int) -> Iterator[int]:
    """A duplicate of another process's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    copy = libc.syscall(PIDFD_GETFD, process, fd, 0)
    os.close(process)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    try:
        yield copy
    finally:
        os.close(copy)


@pytest.fixture
def borrow() -> Callable[[int, int], AbstractContextManager[int]]:
    return borrowed


@pytest.fixture
def napi_ids() -> Callable[[int], Counter[int]]:
    """NAPI ids of a process's TCP connections, from getsockopt."""

    def read(pid: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
            with borrowed(pid, int(name)) as copy, socket.socket(fileno=os.dup(copy)) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and not one.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                ):
                    found[one.getsockopt(socket.SOL_SOCKET, SO_INCOMING_NAPI_ID)] += 1
        return found

    return read


@pytest.fixture
def threads_of() -> Callable[[int], dict[str, int]]:
    """Thread number by name."""

    def read(pid: int) -> dict[str, int]:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return {(task / "comm").read_text().rstrip("\n"): int(task.name) for task in tasks}

    return read


class Running:
    """A server that is neither nginx nor the lab server."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str, port: int) -> None:
        self.pid, self.address, self.port = process.pid, address, port


@pytest.fixture
def start(wait_for: Callable[..., Any]) -> Iterator[Callable[..., Running]]:
    """Start a server and wait until it listens: (command, address, port, namespace)."""
    started: list[subprocess.Popen[bytes]] = []

    def listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
        assert process.poll() is None, "the server ended"
        tables = (Path(f"/proc/{process.pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
        lines = (line.split() for table in tables for line in table)
        return any(words[3] == "0A" and words[1].endswith(f":{port:04X}") for words in lines)

    def run(command: list[Any], address: str, port: int, namespace: str = "", **popen: Any) -> Running:
        within = ["ip", "netns", "exec", namespace] if namespace else []
        words = [*within, *map(str, command)]
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        quiet |= {"stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(words, **quiet | popen))
        wait_for(lambda: listens(started[-1], port), command[0])
        return Running(started[-1], address, port)

    yield run
    for one in started:
        one.terminate()
        try:
            one.wait(10)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()


@pytest.fixture
def script() -> Callable[..., list[Any]]:
    """Command line of a server in this directory: (how it waits, address, port, *options)."""
    return lambda *words: [sys.executable, HERE / "small_server.py", *words]


@pytest.fixture
def haproxy(tmp_path: Path, start: Callable[..., Running]) -> Callable[..., Running]:
    """haproxy with two threads and a listener for each: (address, port, namespace)."""

    def run(address: str, port: int, namespace: str = "") -> Running:
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(
            "global\n  nbthread 2\n"
            "defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n"
            f"frontend f\n  bind {address}:{port} shards by-thread\n"
            "  http-request return status 200 content-type text/plain string ok\n"
        )
        return start(["/usr/sbin/haproxy", "-db", "-f", configuration], address, port, namespace)

    return run


@pytest.fixture
def redis(start: Callable[..., Running], tmp_path: Path) -> Callable[..., Running]:
    """(address, port, namespace)"""

    def run(address: str, port: int, namespace: str = "") -> Running:
        options = ["--bind", address, "--port", port, "--protected-mode", "no", "--save", "", "--dir", tmp_path]
        return start(["redis-server", *options], address, port, namespace)

    return run


@pytest.fixture
def redis_load() -> Callable[..., AbstractContextManager[None]]:
    """redis-benchmark inside the context: (address, port, namespace)."""

    @contextmanager
    def running(address: str, port: int, namespace: str = "") -> Iterator[None]:
        within = ["ip", "netns", "exec", namespace] if namespace else []
        command = [*within, "redis-benchmark", "-h", address, "-p", str(port), "-t", "get", "-c", "16"]
        with subprocess.Popen([*command, "-n", "100000000", "-q"], stdout=subprocess.DEVNULL) as one:
            try:
                yield
            finally:
                one.terminate()

    return running
