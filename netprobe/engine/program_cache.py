"""Compiled programs on disk, for the next start. An entry is code that root loads into the kernel.

Hence a directory that only its owner can access, opened once and without following a link; entries that are checked
for their type, owner, mode and checksum; and a key of all that the program depends on. An entry that fails a check is
as good as none: the program is compiled.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from netprobe.engine.btf import PATH as BTF_PATH
from netprobe.engine.machine import possible_cpus
from netprobe.resources import resource

# Changes with the content of entries.
_FORMAT = 1
_ROOT_DIRECTORY = "/var/cache/netprobe"
_LOCK = "lock"
_MAX_ENTRIES, _MAX_BYTES, _MAX_ENTRY_BYTES = 64, 16 << 20, 4 << 20
# A compilation takes less than a second; 20 times as long under emulation.
_LOCK_TIMEOUT_S, _LOCK_POLL_S = 20.0, 0.005
_TEMPORARY, _TEMPORARY_AGE_S = ".", 3600


class UnusableCacheError(Exception):
    """The directory is missing and cannot be created, or belongs or is open to others."""


def default_directory() -> str:
    """The directory for the current user; root never uses a directory that the environment names.

    Raises `UnusableCacheError` for a user without a home.
    """
    if os.geteuid() == 0:
        return _ROOT_DIRECTORY
    home = os.environ.get("HOME", "")
    base = os.environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if home else "")
    if not os.path.isabs(base):
        raise UnusableCacheError("there is no directory for it: neither XDG_CACHE_HOME nor HOME is set")
    return os.path.join(base, "netprobe")


def kernel_identity() -> bytes:
    """Identifies the build of the running kernel: its notes have the build-id that the linker computed."""
    parts = [" ".join(os.uname()[2:]).encode(), str(os.stat(BTF_PATH).st_size).encode()]
    try:
        with open("/sys/kernel/notes", "rb") as notes:
            parts.append(notes.read())
    except OSError:
        with open(BTF_PATH, "rb") as btf:
            parts.append(btf.read())
    return _digest(parts)


def _digest(parts: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def answers_key(kernel: bytes) -> str:
    """Key of the answers that a kernel's BTF gave."""
    return f"types-{_digest([str(_FORMAT).encode(), kernel]).hex()}"


def program_key(kernel: bytes, source: str) -> str:
    """Key of a program: kernel, CPUs (event arrays have an element for each), C source with constants, headers."""
    parts = [f"{_FORMAT} {possible_cpus()}".encode(), kernel, source.encode()]
    for folder, _, names in sorted(os.walk(resource("bpf") / "include")):
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as file:
                parts += [name.encode(), file.read()]
    return f"program-{_digest(parts).hex()}"


class ProgramCache:
    """Entries by key, in a directory of the current user. JSON documents."""

    def __init__(self, path: str | None = None) -> None:
        """Raises `UnusableCacheError`."""
        self.path = path or default_directory()
        try:
            with suppress(FileExistsError):
                if os.geteuid():
                    os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
                os.mkdir(self.path, 0o700)
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise UnusableCacheError(f"{self.path}: {error.strerror}") from None
        if reason := _distrust(os.fstat(self._fd), stat.S_IFDIR):
            os.close(self._fd)
            raise UnusableCacheError(f"{self.path} {reason}")

    def get(self, key: str) -> tuple[Any, str]:
        """The document of an entry and an empty string; None and the reason if there is none that can be trusted."""
        try:
            # Non-blocking: it may be a FIFO.
            fd = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._fd)
        except FileNotFoundError:
            return None, "there is no entry"
        except OSError as error:
            return None, f"the entry cannot be opened ({error.strerror})"
        try:
            if reason := _distrust(os.fstat(fd), stat.S_IFREG):
                return None, f"the entry {reason}"
            content = os.read(fd, _MAX_ENTRY_BYTES)
            digest, data = content[:32], content[32:]
            if digest != _checksum(key, data):
                return None, "the entry is corrupt"
            with suppress(OSError):
                # The time of the last change is that of the last use.
                os.utime(fd)
            return json.loads(data), ""
        except OSError as error:
            return None, f"the entry cannot be read ({error.strerror})"
        finally:
            os.close(fd)

    def put(self, key: str, document: Any) -> None:
        """Write an entry atomically; without effect if that is not possible, as on a full disk."""
        data = json.dumps(document, separators=(",", ":")).encode()
        temporary = f"{_TEMPORARY}{key}.{os.urandom(8).hex()}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._fd)
            with open(fd, "wb") as file:
                file.write(_checksum(key, data) + data)
            os.rename(temporary, key, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._fd)
        self._trim()

    def _trim(self) -> None:
        """Remove the least recently used entries above the limits, and what interrupted writers left."""
        entries: list[tuple[int, int, str]] = []
        for name in os.listdir(self._fd):
            with suppress(OSError):
                found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if not name.startswith(_TEMPORARY) and name != _LOCK:
                    entries.append((found.st_mtime_ns, found.st_size, name))
                elif name != _LOCK and found.st_mtime < time.time() - _TEMPORARY_AGE_S:
                    os.unlink(name, dir_fd=self._fd)
        total = 0
        for number, (_, size, name) in enumerate(sorted(entries, reverse=True)):
            total += size
            if number >= _MAX_ENTRIES or total > _MAX_BYTES:
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._fd)

    @contextmanager
    def compiling(self, key: str) -> Iterator[None]:
        """Of several processes inside the context with the same key, one runs and the others wait.

        The lock ends with its process; a process that does not run on is not waited for longer than 20 seconds.
        """
        try:
            fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._fd)
        except OSError:
            yield
            return
        try:
            deadline = time.monotonic() + _LOCK_TIMEOUT_S
            while time.monotonic() < deadline:
                with suppress(OSError):
                    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(key[-8:], 16))
                    break
                time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the directory."""
        os.close(self._fd)


def _checksum(key: str, data: bytes) -> bytes:
    # With the key: an entry under the name of another is corrupt.
    return hashlib.sha256(key.encode() + b"\0" + data).digest()


def _distrust(found: os.stat_result, kind: int) -> str:
    """The reason not to trust a file or directory; empty if there is none."""
    if stat.S_IFMT(found.st_mode) != kind:
        return "is not a directory" if kind == stat.S_IFDIR else "is not a regular file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""
