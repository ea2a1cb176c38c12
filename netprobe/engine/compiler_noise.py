"""Keeps what BCC's compiler writes to standard error, to be shown only if the compilation fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# For who works on a C file: LLVM ends the whole program when it meets what it cannot do (such as too large a
# stack), and what it said about that is lost with the captured text.
SHOW = "NETPROBE_SHOW_COMPILER"


@contextmanager
def compiler_noise() -> Iterator[list[str]]:
    """Gives a list that holds all that was written, as one text, once the interval has ended."""
    noise: list[str] = []
    if os.environ.get(SHOW):
        yield noise
        noise.append("")
        return
    sys.stderr.flush()
    saved = os.dup(2)
    memory = os.memfd_create("netprobe-compiler")
    os.dup2(memory, 2)
    try:
        yield noise
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        noise.append(os.pread(memory, os.fstat(memory).st_size, 0).decode(errors="replace"))
        os.close(memory)
