"""What a stack is made of: frames, and the threads that they were seen in."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

UNKNOWN = "[unknown]"


class Kind(IntEnum):
    """What sort of code a frame is; the colours, and the annotations `_[k]`, `_[j]`, `_[i]`, come from it."""

    USER = 0
    KERNEL = 1
    JIT = 2
    INLINED = 3
    UNKNOWN = 4
    """No name was found: `[unknown]`, `[libc.so.6]` (its module) or an address."""


class Frame(NamedTuple):
    """One function as it is shown: demangled name, the file or `[kernel]` that holds it, sort of code."""

    name: str
    module: str = ""
    kind: Kind = Kind.USER


class Thread(NamedTuple):
    """Who was running; -1 where the source does not say. A thread that renamed itself is two of these."""

    pid: int
    tid: int
    comm: str
