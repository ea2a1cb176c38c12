"""Reads `perf script` text; the second half of a large file is read by a second process at the same time."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flamegraph.readers.perf_script.perf_text import BrokenTextError, PartialText, PerfText
from flamegraph.readers.source import CHUNK, InputSource, Salvager, chunks

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions

MIN_SIZE = 1 << 24
"""Smaller files are read by one process."""
_SEARCHED = 1 << 20


def read_text(source: InputSource, options: ReadOptions) -> Profile:
    """Read the text. Raises `BrokenProfileError` with the line number, `ProfileError` for an unknown event."""
    salvager = Salvager(source.name, options.salvage)
    text = PerfText(options)
    try:
        with second_half(source) as half:
            if half is None or not _read_in_two(source, salvager, text, half):
                for chunk in chunks(source, salvager):
                    text.feed(chunk)
                if not salvager.notes:
                    text.end()
    except BrokenTextError as broken:
        salvager.broken(str(broken))
    return text.profile(source.name, salvager)


def _read_in_two(source: InputSource, salvager: Salvager, text: PerfText, half: SecondHalf) -> bool:
    """Whether the whole file was read; if not, the stream is at the beginning of the second half."""
    for number, chunk in enumerate(chunks(source, salvager, half.begin)):
        text.feed(chunk)
        if number == 0:
            # Both processes start with the event, the first time and the names of the first samples.
            half.start(text)
    partial = half.result()
    return partial is not None and text.absorb(partial)


class SecondHalf:
    """The text from the byte `begin`, where a sample begins, to the end of the file, read by a child process."""

    def __init__(self, path: Path, begin: int) -> None:
        self.begin = begin
        self._path = path
        self._pid = self._pipe = -1

    def start(self, text: PerfText) -> None:
        """Start the child with the state of `text`. Where no process can be created, `result` will be None."""
        try:
            self._pipe, write = os.pipe()
            with warnings.catch_warnings():
                # Python 3.12 warns of threads that libraries started; no Python thread runs, and the child only
                # reads, counts and exits.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            return
        if self._pid == 0:
            _child(text, self._path, self.begin, write)
        os.close(write)

    def result(self) -> PartialText | None:
        """The samples of the second half; None where reading failed, and the caller reads it again."""
        if self._pid < 0:
            return None
        try:
            with os.fdopen(self._pipe, "rb") as pipe:
                self._pipe = -1
                partial: PartialText = pickle.load(pipe)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return partial

    def close(self) -> None:
        """Kill the child process and wait for it."""
        if self._pipe >= 0:
            os.close(self._pipe)
        if self._pid > 0:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


@contextmanager
def second_half(source: InputSource) -> Iterator[SecondHalf | None]:
    """The second half of a file that is large enough for two processes; else None."""
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
    """Offset of the first sample of the second half; 0 where the file is too small for two processes."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size < MIN_SIZE:
                return 0
            blank_line = os.pread(file.fileno(), _SEARCHED, size // 2).find(b"\n\n")
    except OSError:
        return 0
    return size // 2 + blank_line + 2 if blank_line >= 0 else 0


def _child(text: PerfText, path: Path, begin: int, write: int) -> None:
    """Read the second half and exit. Never returns: no code of the parent may run in the child."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        text.reset()
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            while chunk := file.read(CHUNK):
                text.feed(chunk)
        text.end()
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(text.partial(), pipe, pickle.HIGHEST_PROTOCOL)
        status = 0
    finally:
        os._exit(status)
