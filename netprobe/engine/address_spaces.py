"""Mapped files by process and address, kept open so that they can be read after the end of the process."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from sys import intern
from typing import NamedTuple

from netprobe.probes.kernel_text import kernel_text

# enum perf_event_type, and bits of the header's misc
_COMM, _EXIT, _FORK, _MMAP2 = 3, 4, 7, 10
_MISC_COMM_EXEC = 1 << 13
# pid, tid, address, length, page offset, device, inode, generation, protection, flags; then the name
_MAPPING = struct.Struct("=IIQQQIIQQII")
_PAIR = struct.Struct("=II")
_TASK = struct.Struct("=IIII")
# Files that are open at the same time; others are opened when they are needed.
_MAX_OPEN = 512
# Address spaces of ended processes; older ones are discarded, so that memory does not grow with time.
_MAX_ENDED = 4096

Life = tuple[int, int]
"""A process from one exec to the next: its PID and the number of its execs."""


class ExecutableMapping(NamedTuple):
    """A file in an address space. `fd`: netprobe's own descriptor of the file, if it has one."""

    start: int
    end: int
    offset: int
    path: str
    inode: int
    fd: int | None


class AddressSpaces:
    """Mapped files of processes that existed at the start or were started later.

    `everyone`: all processes; else those specified with `count_from` and their descendants, so that memory does not
    grow with the number of other processes.
    """

    def __init__(self, everyone: bool = True) -> None:
        self._everyone = everyone
        self._spaces: dict[Life, list[ExecutableMapping]] = {}
        self._execs: dict[int, int] = {}
        self._open: dict[tuple[str, int], int | None] = {}
        self._fds: list[int] = []
        self._ended: deque[Life] = deque()

    def count_from(self, pid: int, execs: int) -> None:
        """Set the number of execs of a running process and its ancestors so far."""
        self._execs[pid] = execs

    def add_running(self, pid: int) -> None:
        """Read the mapped files of a process from /proc; the number of its execs is known."""
        execs = self._execs[pid]
        self._spaces[pid, execs] = [
            ExecutableMapping(start, end, offset, path, inode, self._hold(pid, start, end, path, inode))
            for start, end, offset, path, inode in read_maps(pid)
        ]

    def follow(self, records: Iterable[tuple[int, int, bytes]]) -> None:
        """Apply records of forks, execs, exits and mappings, in their order."""
        for kind, misc, body in records:
            if not self._is_followed(kind, body):
                continue
            if kind == _MMAP2:
                self._map(body)
            elif kind == _COMM and misc & _MISC_COMM_EXEC:
                pid = _PAIR.unpack_from(body)[0]
                self._execs[pid] = self._execs.get(pid, 0) + 1
                self._spaces[pid, self._execs[pid]] = []
            elif kind == _FORK:
                self._fork(*_TASK.unpack_from(body)[:2])
            elif kind == _EXIT:
                self._end(*_TASK.unpack_from(body))

    def _is_followed(self, kind: int, body: bytes) -> bool:
        """Whether the process, or for a fork its parent, is one of the followed processes."""
        return self._everyone or _PAIR.unpack_from(body)[1 if kind == _FORK else 0] in self._execs

    def _fork(self, pid: int, parent: int) -> None:
        if pid == parent:
            return
        execs = self._execs[pid] = self._execs.get(parent, 0)
        self._spaces[pid, execs] = list(self._spaces.get((parent, execs), ()))

    def _end(self, pid: int, _parent: int, tid: int, _parent_tid: int) -> None:
        if pid != tid or pid not in self._execs:
            return
        self._ended.append((pid, self._execs[pid]))
        if len(self._ended) > _MAX_ENDED:
            self._spaces.pop(self._ended.popleft(), None)

    def _map(self, body: bytes) -> None:
        pid, _, start, length, offset, _, _, inode, _, _, _ = _MAPPING.unpack_from(body)
        path = intern(kernel_text(body[_MAPPING.size :].split(b"\0", 1)[0]))
        life = (pid, self._execs.setdefault(pid, 0))
        fd = self._hold(pid, start, start + length, path, inode)
        self._spaces.setdefault(life, []).append(ExecutableMapping(start, start + length, offset, path, inode, fd))

    def _hold(self, pid: int, start: int, end: int, path: str, inode: int) -> int | None:
        """Open the file while the process, and thus its root directory, exists."""
        if not path.startswith("/") or not inode:
            return None
        key = (path, inode)
        if key not in self._open and len(self._fds) < _MAX_OPEN:
            self._open[key] = self._open_file(pid, start, end, path, inode)
        return self._open.get(key)

    def _open_file(self, pid: int, start: int, end: int, path: str, inode: int) -> int | None:
        """Open through map_files, which also works for deleted files and in containers, else by name and inode."""
        for candidate in (f"/proc/{pid}/map_files/{start:x}-{end:x}", f"/proc/{pid}/root{path}", path):
            with suppress(OSError):
                # Non-blocking: the name may by now be that of a FIFO.
                fd = os.open(candidate, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
                if os.fstat(fd).st_ino == inode:
                    self._fds.append(fd)
                    return fd
                os.close(fd)
        return None

    def space(self, pid: int, execs: int) -> Space:
        """The mappings of a process between two execs; empty if unknown."""
        return Space(self._spaces.get((pid, execs), []))

    def close(self) -> None:
        """Close the files."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._open.clear()


class Space:
    """An address space; of overlapping mappings, the later one is valid."""

    def __init__(self, mappings: list[ExecutableMapping]) -> None:
        self._pieces: list[ExecutableMapping] = []
        for mapping in mappings:
            self._add(mapping)
        self._starts = [piece.start for piece in self._pieces]

    def _add(self, new: ExecutableMapping) -> None:
        kept: list[ExecutableMapping] = []
        for old in self._pieces:
            if old.end <= new.start or old.start >= new.end:
                kept.append(old)
                continue
            if old.start < new.start:
                kept.append(old._replace(end=new.start))
            if old.end > new.end:
                kept.append(old._replace(start=new.end, offset=old.offset + new.end - old.start))
        kept.append(new)
        self._pieces = sorted(kept)

    def at(self, address: int) -> ExecutableMapping | None:
        """The mapping that contains an address."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._pieces[index].end:
            return None
        return self._pieces[index]


def read_maps(pid: int) -> list[tuple[int, int, int, str, int]]:
    """(start, end, offset, path, inode) of a process's executable mappings; none if it has ended."""
    found = []
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        fields = line.split(None, 5)
        if b"x" not in fields[1]:
            continue
        start, _, end = fields[0].partition(b"-")
        path = kernel_text(fields[5]) if len(fields) > 5 else ""
        found.append((int(start, 16), int(end, 16), int(fields[2], 16), path, int(fields[4])))
    return found
