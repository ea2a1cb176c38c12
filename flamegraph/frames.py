"""Frames of stacks, and the threads that they were sampled in."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

UNKNOWN = "[unknown]"


class Kind(IntEnum):
    """Kind of code; determines colours and the annotations `_[k]`, `_[j]`, `_[i]`."""

    USER = 0
    KERNEL = 1
    JIT = 2
    INLINED = 3
    UNKNOWN = 4
    """Unsymbolized: `[unknown]`, `[libc.so.6]` (the module) or an address."""


class Frame(NamedTuple):
    """One function: demangled name, file (or `[kernel]`), kind of code."""

    name: str
    module: str = ""
    kind: Kind = Kind.USER


class Thread(NamedTuple):
    """A thread; -1 for ids that the source does not have. A thread that changed its name counts as two."""

    pid: int
    tid: int
    comm: str
