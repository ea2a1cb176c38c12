"""One virtual machine from its boot to its end, within a limit of time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from pathlib import Path

from boots import Boot, Outcome
from debian import Kernel

_CPUS, _MEMORY = 4, "3G"
# An AMD processor of a generation with a fault in its return predictor: a default boot has something to mitigate.
_CPU_MODEL = "EPYC-Rome"
# One thread emulates all processors in turn. With a thread each, one of them may still meet the breakpoint that the
# kernel puts where it patches itself (static keys, such as that of BPF's run times) when the others have moved on,
# which the kernel takes for a fault of its own: "Oops: int3".
_ACCELERATOR = "tcg,thread=single"
# An emulator that is stopped for a while is no stall worth a page on the console.
_PARAMETERS = "loglevel=5 nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
# Seconds of the machine's own progress: those in which the emulator was stopped from outside do not count.
_LIMIT_S = 1500.0
_LOOK_S = 1.0
# Set when the matrix is interrupted: every machine is ended then.
INTERRUPTED = threading.Event()
_KEPT = ("/root", "/var", "/tmp", "/run/netns")


class Machine:
    """A kernel, booted in one way, that runs the tests of that way."""

    def __init__(self, kernel: Kernel, boot: Boot, image: Path, root: Path, folder: Path) -> None:
        self._kernel, self._boot, self._image, self._root, self._folder = kernel, boot, image, root, folder
        results = folder / "results"
        results.mkdir(parents=True, exist_ok=True)
        stem = results / f"{kernel.series}-{boot.name}"
        self._outcome = Outcome(
            kernel.series,
            kernel.release,
            boot,
            *(stem.with_name(f"{stem.name}.{end}") for end in ("console", "output", "jsonl")),
        )

    @property
    def title(self) -> str:
        """Kernel and boot."""
        return self._outcome.title

    def run(self, pytest: list[str]) -> Outcome:
        """Boot it, wait for its end or end it."""
        outcome = self._outcome
        for path in (outcome.console, outcome.output, outcome.results):
            path.unlink(missing_ok=True)
        # Two machines cannot share a disk that both may write.
        disk = outcome.results.with_name(outcome.results.stem + ".ext4")
        subprocess.run(["cp", "--sparse=always", self._image, disk], check=True)
        began = time.monotonic()
        try:
            with open(outcome.console, "wb") as console:
                process = subprocess.Popen(
                    self._command(disk, pytest),
                    env=os.environ | {"PATH": f"{self._folder / 'venv' / 'bin'}:{os.environ['PATH']}"},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                )
                outcome.ended = _supervise(process)
        finally:
            disk.unlink()
        outcome.seconds = time.monotonic() - began
        outcome.read()
        return outcome

    def _command(self, disk: Path, pytest: list[str]) -> list[str]:
        inside = [str(self._root / "tests" / "vm" / "inside.sh"), self._boot.name]
        inside += [str(self._outcome.results), str(self._outcome.output)]
        inside += [
            sys.executable,
            sysconfig.get_path("purelib"),
            sysconfig.get_path("stdlib"),
            *self._boot.tests,
            *pytest,
        ]
        kept = [word for path in _KEPT if Path(path).is_dir() for word in ("--overlay-rwdir", path)]
        # Debian's emulator says at each boot which features of the processor it does not have.
        return [
            "vng", "--run", str(self._kernel.image), "--disable-kvm", "--cpus", str(_CPUS), "--memory", _MEMORY,
            "--user", "root", *kept, "--rwdir", str(self._outcome.results.parent), "--disk", str(disk),
            f"--qemu-opts=-accel {_ACCELERATOR} -cpu {_CPU_MODEL}",
            "--append", f"{_PARAMETERS} {self._boot.parameters}".strip(), "--verbose", "--", " ".join(inside),
        ]  # fmt: skip


def _supervise(process: subprocess.Popen[bytes]) -> str:
    """Wait for the machine's end; where it takes too long, end it. The reason if it was ended."""
    counted = elapsed = 0.0
    try:
        while process.poll() is None:
            if INTERRUPTED.wait(_LOOK_S):
                return "it was interrupted"
            elapsed += _LOOK_S
            if not _stopped(process.pid):
                counted += _LOOK_S
            if counted > _LIMIT_S or elapsed > 3 * _LIMIT_S:
                return f"it took longer than {_LIMIT_S:.0f} s and was ended"
    finally:
        _end(process)
    return "" if process.returncode == 0 else f"virtme-ng ended with status {process.returncode}"


def _family(pid: int) -> list[int]:
    """A process and its descendants, itself last."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += [one for child in (task / "children").read_text().split() for one in _family(int(child))]
    return [*found, pid]


def _stopped(pid: int) -> bool:
    """Whether somebody has stopped the emulator for a while (SIGSTOP)."""
    for one in _family(pid):
        with suppress(OSError):
            if (Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() or [""])[0] == "T":
                return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started, each by its number."""
    if process.poll() is not None:
        return
    for pid in _family(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
