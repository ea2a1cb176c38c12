"""Properties of a live process from /proc that symbolizing needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flamegraph.symbols.rooted import path_handle, reopened

DELETED = " (deleted)"
_MAX_VDSO = 1 << 20


class Identity(NamedTuple):
    """The pid of a process in its own namespace, and its users."""

    namespace_pid: int
    users: frozenset[int]
    """Its real and effective uid in this user namespace."""


def identity(pid: int) -> Identity | None:
    """None where the process has exited."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="backslashreplace")
    except OSError:
        return None
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
    pids, users = fields.get("NSpid") or [str(pid)], fields.get("Uid") or []
    return Identity(int(pids[-1]), frozenset(int(user) for user in users[:2]))


def root_of(pid: int) -> Path:
    """The root directory of a process."""
    return Path(f"/proc/{pid}/root")


@contextmanager
def open_mapping(pid: int, path: str) -> Iterator[int]:
    """Open a file that a process has mapped, even if it was deleted since, through `/proc/PID/map_files`.

    Raises OSError: ENOENT where no mapping has this name, EPERM without permission.
    """
    area = _area(pid, path)
    if area is None:
        raise FileNotFoundError(2, "not mapped", path)
    handle = path_handle(f"/proc/{pid}/map_files/{area}")
    try:
        with reopened(handle, path) as readable:
            yield readable
    finally:
        os.close(handle)


def vdso_image(pid: int | None) -> bytes | None:
    """The [vdso] of a process, by default of this process; None where it cannot be read."""
    for owner in ("self",) if pid is None else (str(pid), "self"):
        area = _area(owner, "[vdso]")
        if area is None:
            continue
        start, end = (int(edge, 16) for edge in area.split("-"))
        try:
            with open(f"/proc/{owner}/mem", "rb", buffering=0) as memory:
                data = os.pread(memory.fileno(), min(end - start, _MAX_VDSO), start)
        except OSError:
            continue
        if data:
            return data
    return None


def _area(pid: int | str, path: str) -> str | None:
    """The first address range of a mapped file, executable first, in the notation of `/proc/PID/map_files`."""
    wanted = os.fsencode(path).replace(b"\n", b"\\012")
    with_mark = wanted if wanted.endswith(DELETED.encode()) else wanted + DELETED.encode()
    found = None
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps:
            for line in maps:
                columns = line.rstrip(b"\n").split(None, 5)
                if len(columns) == 6 and columns[5] in (wanted, with_mark):
                    if b"x" in columns[1]:
                        return _range(columns[0])
                    found = found or _range(columns[0])
    except OSError:
        return None
    return found


def _range(column: bytes) -> str:
    start, _, end = column.decode().partition("-")
    # maps pads addresses with zeros, map_files does not.
    return f"{int(start, 16):x}-{int(end, 16):x}"
