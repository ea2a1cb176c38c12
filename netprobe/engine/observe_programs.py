"""Observer of the programs that the target runs, so that a comparison can tell whether both sides ran the same one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.probes.kernel_text import kernel_text
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# Limit for a recording of the whole machine.
_MAX_PROCESSES = 64


def observer(options: RecordOptions) -> ProgramObserver:
    """The observer of a recording."""
    return ProgramObserver()


class ProgramObserver:
    """Snapshots at start and stop: a server that netprobe starts does not run at start."""

    probe = ""

    def __init__(self) -> None:
        # Path, size, and a descriptor: build-ids are read after the recording.
        self._programs: dict[int, tuple[str, int, int]] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        self._take(threads)

    def mark(self) -> None:
        """Nothing is read here."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Nothing: the programs of the last snapshot are enough."""

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self._take(threads)

    def _take(self, threads: Sequence[TracedThread]) -> None:
        for pid in sorted({thread.pid for thread in threads if thread.pid and not thread.exit_ns}):
            if len(self._programs) >= _MAX_PROCESSES:
                return
            if found := _program(pid):
                if pid in self._programs:
                    os.close(self._programs[pid][2])
                self._programs[pid] = found

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`programs`."""
        rows = []
        for pid, (path, size, fd) in sorted(self._programs.items()):
            rows.append((pid, path, _build_id(fd), size))
            os.close(fd)
        return [table_of_rows("programs", rows)]


def _program(pid: int) -> tuple[str, int, int] | None:
    link = f"/proc/{pid}/exe"
    try:
        path = os.readlink(os.fsencode(link))
        fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return kernel_text(path), os.fstat(fd).st_size, fd


def _build_id(fd: int) -> str:
    from flamegraph.symbols.elf import Elf, ElfError, FileBytes

    try:
        return (Elf(FileBytes(fd)).build_id or b"").hex()
    except (ElfError, OSError):
        return ""
