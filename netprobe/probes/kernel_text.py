"""Names as the kernel keeps them: bytes, ended by a zero, with whatever was there before behind it."""

from __future__ import annotations


def kernel_text(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 stay readable as escapes."""
    return name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
