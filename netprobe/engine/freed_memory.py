"""Memory that was freed, given back to the kernel."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Give back what lies between pieces that are still used; nothing where the C library cannot (malloc_trim(3))."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
