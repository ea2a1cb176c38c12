"""Memory that was freed goes back to the kernel."""

from __future__ import annotations

import ctypes

# mallopt(3), and glibc's own first value halved: tables of a recording's stacks are larger from a few minutes on.
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1 << 16


def give_back() -> None:
    """Give back what lies between pieces that are still used; nothing where the C library cannot (malloc_trim(3))."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_large_apart() -> None:
    """From here on, large pieces of this process are mappings of their own, which are gone when they are freed.

    Among the others they would leave a hole each time that a table is made anew and a little larger; and glibc puts
    them there once a large one was freed, as a compiler does. Nothing where the C library cannot.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)
