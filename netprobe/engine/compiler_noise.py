"""Keeps what BCC's compiler writes to standard error, to be shown only if the compilation fails."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ON_EXIT = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)


class _Capture:
    """Standard error diverted into memory."""

    def __init__(self) -> None:
        sys.stderr.flush()
        self._saved = os.dup(2)
        self._memory = os.memfd_create("netprobe-compiler")
        os.dup2(self._memory, 2)

    def end(self) -> str:
        """Put standard error back; what was written meanwhile."""
        os.dup2(self._saved, 2)
        os.close(self._saved)
        text = os.pread(self._memory, os.fstat(self._memory).st_size, 0).decode(errors="replace")
        os.close(self._memory)
        return text


_current: _Capture | None = None


def _tell_at_exit(_status: int, _argument: int | None) -> None:
    """LLVM ends the whole program when it meets what it cannot do: the reason must not be lost then."""
    if _current is not None:
        text = _current.end()
        os.write(2, f"netprobe: the BPF compiler gave up:\n{text}".encode())


# The C library keeps only its address, so the object has to live as long as the program.
_tell_at_exit_in_c = _ON_EXIT(_tell_at_exit)


@contextmanager
def compiler_noise() -> Iterator[list[str]]:
    """Gives a list that holds all that was written, as one text, once the block has ended."""
    global _current  # noqa: PLW0603 -- standard error is one for the whole program as well
    noise: list[str] = []
    if _current is None:
        ctypes.CDLL(None).on_exit(_tell_at_exit_in_c, None)
    _current = _Capture()
    try:
        yield noise
    finally:
        capture, _current = _current, None
        noise.append(capture.end())
