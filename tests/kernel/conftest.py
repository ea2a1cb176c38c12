"""Known workloads, and recordings of them through the real command."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PATIENCE = float(os.environ.get("NETPROBE_TEST_PATIENCE", "1"))
COMMAND = Path(sys.executable).with_name("netprobe")
# netprobe is started hundreds of times: without bytecode, each start would compile 40 files, which takes 90 ms.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this directory need the kernel."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Wait until a condition is true; return its value."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)
    return value


@pytest.fixture(scope="session", name="wait_for")
def wait_for_fixture() -> Callable[..., Any]:
    return wait_for


@pytest.fixture(scope="session")
def workload() -> Iterator[Callable[[str], Path]]:
    """Path of a compiled workload. Everyone may run it: some tests are not root."""
    folder = Path(tempfile.mkdtemp(prefix="netprobe-workloads-"))
    folder.chmod(0o755)

    def compiled(name: str) -> Path:
        binary = folder / name
        if not binary.exists():
            source = HERE / "workloads" / f"{name}.c"
            subprocess.run(
                ["cc", "-O1", "-Wall", "-Werror", "-pthread", "-o", binary, source], check=True, timeout=60 * PATIENCE
            )
        return binary

    yield compiled
    shutil.rmtree(folder)


class Gated:
    """A workload that waits for `go`."""

    def __init__(self, command: list[Any]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def go(self) -> bytes:
        """Let it work to its end; what it printed."""
        out, _ = self.process.communicate(b"g", timeout=60 * PATIENCE)
        assert self.process.returncode == 0
        return out

    def start(self) -> None:
        """Let it work."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"g")
        self.process.stdin.flush()

    def end(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def gated(workload: Callable[[str], Path]) -> Iterator[Callable[..., Gated]]:
    """Start a workload that waits before its first counted call."""
    started: list[Gated] = []

    def start(name: str, *arguments: Any) -> Gated:
        command = [workload(name), "gate", *(a if isinstance(a, bytes) else str(a) for a in arguments)]
        started.append(Gated(command))
        return started[-1]

    yield start
    for one in started:
        one.end()


class Recording:
    """A running netprobe; `finish` returns its outcome."""

    def __init__(self, command: list[Any], folder: Path, outcome: Any, **popen: Any) -> None:
        folder.mkdir()
        self._out, self._err, self._outcome = folder / "out", folder / "err", outcome
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **popen)
        self.pid = self.process.pid

    def errors(self) -> str:
        return self._err.read_text(errors="replace")

    def printed(self) -> str:
        return self._out.read_text(errors="replace")

    def attached(self) -> "Recording":
        """Wait until it records."""
        wait_for(lambda: "Attached in" in self.errors() or self.process.poll() is not None, "the attachment")
        assert "Attached in" in self.errors(), self.errors()
        return self

    def stop(self, number: signal.Signals = signal.SIGINT) -> Any:
        """End it by a signal; its outcome."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self, seconds: float = 30) -> Any:
        """Wait for its end; its outcome."""
        status = self.process.wait(seconds * PATIENCE)
        return self._outcome(status, self.printed(), self.errors())

    def end(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def recording(tmp_path: Path, outcome: Any) -> Iterator[Callable[..., Recording]]:
    """Start the command and wait until it records; `attached=False`: only start it."""
    started: list[Recording] = []

    def start(*arguments: Any, attached: bool = True, prefix: tuple[str, ...] = (), **popen: Any) -> Recording:
        command = [*prefix, COMMAND, *map(str, arguments)]
        started.append(Recording(command, tmp_path / f"recording-{len(started)}", outcome, **popen))
        return started[-1].attached() if attached else started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def record_workload(gated: Callable[..., Gated], recording: Callable[..., Recording]) -> Callable[..., Any]:
    """Record a workload from its release to its end: (name, arguments, command and options) -> outcome."""

    def run(name: str, arguments: list[Any], *options: Any) -> Any:
        target = gated(name, *arguments)
        command, *rest = options
        session = recording(command, "-p", target.pid, "-d", 60 * PATIENCE, *rest)
        target.go()
        return session.finish()

    return run


def rows(document: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """Rows of a result in which these fields have these values."""
    table = document.get("syscalls") or document.get("threads") or []
    return [row for row in table if all(row.get(key) == value for key, value in wanted.items())]


@pytest.fixture(scope="session", name="rows")
def rows_fixture() -> Callable[..., list[dict[str, Any]]]:
    return rows


def kernel_ids(pid: int) -> set[tuple[str, int]]:
    """("prog" or "map", id) of the BPF objects that a process holds."""
    found = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except OSError:
            continue
        for line in text.splitlines():
            kind, _, number = line.partition("_id:")
            if kind in ("prog", "map") and number:
                found.add((kind, int(number)))
    return found


@pytest.fixture(scope="session", name="kernel_ids")
def kernel_ids_fixture() -> Callable[[int], set[tuple[str, int]]]:
    return kernel_ids


def children() -> set[str]:
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(task.read_text().split())


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Every test ends the processes that it started."""
    before = children()
    yield
    assert children() <= before
