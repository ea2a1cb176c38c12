"""Builds and runs the lab server (`server/`), whose faults are options."""

import hashlib
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from netprobe.errors import NetprobeError

_SOURCES = Path(__file__).with_suffix("")
_CHECKOUT = _SOURCES.parents[2]
# Debugging information and frame pointers, so that profiles of the server have symbols and complete stacks.
_FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")
_COMPILE = ("cc", *_FLAGS, "-Wall", "-Wextra", "-Werror")
_LINK = ("-luring", "-pthread")
_PACKAGES = "Install the packages gcc, libc6-dev and liburing-dev."
_NAME = "lab-server"
_COMPILE_SECONDS = 120.0
_END_SECONDS = 5.0
_READY = re.compile(rb"ready port=(\d+) pid=(\d+)\n")
_COUNTS = re.compile(r"^reactor-(\d+) requests=(\d+) accepted=(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class ServerOptions:
    """The options of the server; the defaults are a server without a fault."""

    threads: int = 1
    processes: int = 0  # instead of threads
    cpus: tuple[int, ...] = ()  # empty: not pinned
    listen_order: tuple[int, ...] | Literal["reversed"] = ()
    steer: Literal["none", "cbpf", "ebpf", "incoming-cpu"] = "none"
    backend: Literal["epoll", "io_uring"] = "epoll"
    epoll_timeout_us: int = -1
    busy_poll_us: int = 0
    busy_poll_budget: int = 0  # the kernel's default
    prefer: bool = False
    quota_timer_us: int = 0
    receive: Literal["recv", "read"] = "recv"
    flush: Literal["now", "batched"] = "now"
    work_us: int = 0
    udp: bool = False
    address: str = "127.0.0.1"
    port: int = 0
    listeners: int = 0
    close_listener: int | None = None
    verbose: bool = False

    def argv(self) -> list[str]:
        """The command line, without the program."""
        reactors = f"--processes={self.processes}" if self.processes else f"--threads={self.threads}"
        flags = [
            reactors,
            f"--steer={self.steer}",
            f"--backend={self.backend}",
            f"--epoll-timeout-us={self.epoll_timeout_us}",
            f"--busy-poll-us={self.busy_poll_us}",
            f"--quota-timer-us={self.quota_timer_us}",
            f"--receive={self.receive}",
            f"--flush={self.flush}",
            f"--work-us={self.work_us}",
            f"--address={self.address}",
            f"--port={self.port}",
            f"--listeners={self.listeners}",
        ]
        return flags + self._optional()

    def _optional(self) -> list[str]:
        order = self.listen_order if isinstance(self.listen_order, str) else _comma(self.listen_order)
        given = {
            f"--cpus={_comma(self.cpus)}": bool(self.cpus),
            f"--listen-order={order}": bool(self.listen_order),
            f"--busy-poll-budget={self.busy_poll_budget}": bool(self.busy_poll_budget),
            f"--close-listener={self.close_listener}": self.close_listener is not None,
            "--prefer": self.prefer,
            "--udp": self.udp,
            "--verbose": self.verbose,
        }
        return [flag for flag, wanted in given.items() if wanted]


@dataclass(frozen=True)
class ReactorCounts:
    """The counters of one reactor, which the server prints when it ends."""

    requests: int
    accepted: int


def build(force: bool = False) -> Path:
    """Compile the server unless the same sources have been compiled, and return the program."""
    program = _build_directory() / _fingerprint() / _NAME
    if program.exists() and not force:
        return program
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as temporary:
            _compile(Path(temporary, _NAME))
            os.replace(Path(temporary, _NAME), program)
    except OSError as error:
        raise NetprobeError(f"The lab server cannot be stored: {error}.") from error
    return program


class LabServer:
    """A running lab server.

    A context manager. When the server has ended, `counts` has the counters of each reactor, and `messages` its standard
    error.
    """

    def __init__(self, options: ServerOptions, *, namespace: str | None = None, ready_seconds: float = 10.0) -> None:
        self.options = options
        self.namespace = namespace
        self.address = options.address
        self.pid = 0
        self.port = 0
        self.counts: dict[int, ReactorCounts] = {}
        self.messages = ""
        self.exit_status: int | None = None
        self._ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        command = [str(build()), *self.options.argv()]
        if self.namespace:
            # `ip netns exec` execs the server, so the child process is the server.
            command = ["ip", "netns", "exec", self.namespace, *command]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self.port, self.pid = self._await_ready(self._process)
        except FileNotFoundError as error:
            raise NetprobeError(f"{command[0]} is not installed.", hint="Install the package iproute2.") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server if it still runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            _, messages = process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, messages = process.communicate()
        self.exit_status = process.returncode
        self.messages = messages.decode(errors="replace")
        for index, requests, accepted in _COUNTS.findall(self.messages):
            self.counts[int(index)] = ReactorCounts(int(requests), int(accepted))

    def _await_ready(self, process: subprocess.Popen[bytes]) -> tuple[int, int]:
        assert process.stdout is not None
        descriptor, output = process.stdout.fileno(), b""
        deadline = time.monotonic() + self._ready_seconds
        while not (ready := _READY.search(output)):
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise NetprobeError(f"The lab server was not ready within {self._ready_seconds:.0f} s.")
            chunk = os.read(descriptor, 4096)
            if not chunk:
                self.stop()
                raise NetprobeError(f"The lab server did not start: {self.messages.strip() or 'it printed no message'}")
            output += chunk
        return int(ready[1]), int(ready[2])


def _comma(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _source_files() -> list[Path]:
    return sorted([*_SOURCES.glob("*.c"), *_SOURCES.glob("*.h")])


def _fingerprint() -> str:
    """Hash of the sources and compiler options. Modification times of installed files do not show changes."""
    digest = hashlib.sha256(" ".join(_COMPILE + _LINK).encode())
    for source in _source_files():
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]


def _build_directory() -> Path:
    beside = _SOURCES.parent / "build"
    is_checkout = (_CHECKOUT / ".git").exists() or (_CHECKOUT / "pyproject.toml").exists()
    if is_checkout and os.access(_SOURCES.parent, os.W_OK):
        return beside
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "netprobe", "lab")


def _compile(program: Path) -> None:
    if shutil.which(_COMPILE[0]) is None:
        raise NetprobeError("No C compiler is installed.", hint=_PACKAGES)
    sources = [str(path) for path in _source_files() if path.suffix == ".c"]
    command = [*_COMPILE, *sources, "-o", str(program), *_LINK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NetprobeError(f"The compiler did not end within {_COMPILE_SECONDS:.0f} s.") from error
    if done.returncode == 0:
        return
    if "liburing.h" in done.stderr or "-luring" in done.stderr:
        raise NetprobeError("The header or library of liburing is missing.", hint=_PACKAGES)
    raise NetprobeError(f"The lab server does not compile:\n{done.stderr.strip()}", hint=_PACKAGES)
