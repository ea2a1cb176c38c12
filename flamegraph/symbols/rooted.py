"""Opens files below a root directory such that no symbolic link leads out of it.

Links are followed here, since the kernel resolves an absolute link below `/proc/PID/root` against the root directory of
the caller, not of the container.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATH_ONLY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
_MAX_LINKS = 40
_PARTS = 4096


@contextmanager
def open_below(root: Path, path: str, *, follow_last: bool = True) -> Iterator[int]:
    """A descriptor for reading a regular file; devices, pipes and sockets are never opened.

    Raises OSError: as `open` does, ELOOP where the last component is a link and `follow_last` is False, EINVAL for
    anything but a regular file.
    """
    handle = _walk(root, path, follow_last)
    try:
        with reopened(handle, path) as readable:
            yield readable
    finally:
        os.close(handle)


@contextmanager
def reopened(handle: int, path: str) -> Iterator[int]:
    """A readable descriptor of the regular file of an O_PATH descriptor."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    readable = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        yield readable
    finally:
        os.close(readable)


def path_handle(path: str) -> int:
    """An O_PATH descriptor of a name that the kernel resolves, without a root directory (`/proc/PID/map_files/…`)."""
    return os.open(path, _PATH_ONLY)


def _walk(root: Path, path: str, follow_last: bool) -> int:
    if "\0" in path:
        raise OSError(errno.EINVAL, "a name with a zero byte", path)
    chain = [os.open(root, _PATH_ONLY | os.O_DIRECTORY)]
    try:
        waiting = _parts(path)
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                if len(chain) > 1:
                    os.close(chain.pop())
                continue
            handle = os.open(part, _PATH_ONLY | os.O_NOFOLLOW, dir_fd=chain[-1])
            if not stat.S_ISLNK(os.fstat(handle).st_mode):
                chain.append(handle)
                continue
            try:
                target = os.readlink("", dir_fd=handle)
            finally:
                os.close(handle)
            links += 1
            if links > _MAX_LINKS or len(waiting) > _PARTS or (not waiting and not follow_last):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while len(chain) > 1:
                    os.close(chain.pop())
            waiting += _parts(target)
        return chain.pop()
    finally:
        for handle in chain:
            os.close(handle)


def _parts(path: str) -> list[str]:
    """Components of the path, last first; their number is limited."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) > _PARTS:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return parts[::-1]
