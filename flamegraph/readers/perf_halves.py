"""The second half of a large `perf script` text, read by another process at the same time."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flamegraph.readers.perf_text import Part, PerfText
from flamegraph.readers.source import Source
from flamegraph.readers.text import CHUNK

WORTH_IT = 1 << 24
_SEARCHED = 1 << 20


class SecondHalf:
    """From the byte `begin`, where a sample begins, to the end of the file."""

    def __init__(self, path: Path, begin: int) -> None:
        self.begin = begin
        self._path = path
        self._pid = self._pipe = -1

    def start(self, text: PerfText) -> None:
        """Start reading, with what `text` knows by now. Where no process can be had, `part` will be None."""
        try:
            self._pipe, write = os.pipe()
            with warnings.catch_warnings():
                # Python 3.12 warns of threads of libraries; there is none of Python's, and the child only
                # reads, counts and leaves.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            return
        if self._pid == 0:
            _child(text, self._path, self.begin, write)
        os.close(write)

    def part(self) -> Part | None:
        """What was read; None if that failed, for whatever reason: then it is to be read again."""
        if self._pid < 0:
            return None
        try:
            with os.fdopen(self._pipe, "rb") as pipe:
                self._pipe = -1
                part: Part = pickle.load(pipe)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return part

    def close(self) -> None:
        """End the process."""
        if self._pipe >= 0:
            os.close(self._pipe)
        if self._pid > 0:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


@contextmanager
def second_half(source: Source) -> Iterator[SecondHalf | None]:
    """The second half, where it is worth a process; else None."""
    begin = _middle(source.path) if source.path and _can_fork() else 0
    if not begin or source.path is None:
        yield None
        return
    half = SecondHalf(source.path, begin)
    try:
        yield half
    finally:
        half.close()


def _can_fork() -> bool:
    return hasattr(os, "fork") and threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1


def _middle(path: Path) -> int:
    """Where the first sample of the second half begins; 0 if the file is too small for two."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < WORTH_IT:
                return 0
            found = os.pread(file.fileno(), _SEARCHED, size // 2).find(b"\n\n")
    except OSError:
        return 0
    return size // 2 + found + 2 if found >= 0 else 0


def _child(text: PerfText, path: Path, begin: int, write: int) -> None:
    """Never returns: nothing of the parent's may run here."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        text.fresh()
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            while chunk := file.read(CHUNK):
                text.feed(chunk)
        text.end()
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(text.part(), pipe, pickle.HIGHEST_PROTOCOL)
        status = 0
    finally:
        os._exit(status)
