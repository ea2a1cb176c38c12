"""Names in kernel memory: bytes up to a zero, behind which there may be older ones."""

from __future__ import annotations


def kernel_text(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 are escaped."""
    return name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
