"""Observes which programs the target runs, so that two Runs can tell whether they are of the same one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netprobe.probes.base import Counted, Thread
from netprobe.probes.kernel_text import kernel_text
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program

# Of a whole machine's processes, those that are looked at.
_MOST = 64


class ProgramObserver:
    """Looks at both ends: a server that netprobe starts is not there at the beginning."""

    probe = ""

    def __init__(self) -> None:
        self._programs: dict[int, tuple[str, str, int]] = {}

    def begin(self, program: Program, threads: Sequence[Thread], held: int | None) -> None:
        """Look once the probes are attached."""
        self._look(threads)

    def mark(self) -> None:
        """Nothing is read at the window's edges."""

    def end(self, program: Program, threads: Sequence[Thread]) -> None:
        """Look again."""
        self._look(threads)

    def _look(self, threads: Sequence[Thread]) -> None:
        for pid in sorted({thread.pid for thread in threads if thread.pid and not thread.exit_ns}):
            if len(self._programs) >= _MOST:
                return
            if found := _program(pid):
                self._programs[pid] = found

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`programs`: pid, path, build_id ("" without one), size_bytes."""
        return [table_of_rows("programs", ((pid, *found) for pid, found in sorted(self._programs.items())))]


def _program(pid: int) -> tuple[str, str, int] | None:
    link = f"/proc/{pid}/exe"
    try:
        path = os.readlink(os.fsencode(link))
        fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return kernel_text(path), _build_id(fd), os.fstat(fd).st_size
    finally:
        os.close(fd)


def _build_id(fd: int) -> str:
    from flamegraph.symbols.elf import Elf, ElfError, FileBytes

    try:
        return (Elf(FileBytes(fd)).build_id or b"").hex()
    except (ElfError, OSError):
        return ""
