"""What a process has mapped, as a key."""

from __future__ import annotations

from typing import NamedTuple


class MappedFile(NamedTuple):
    """A file as a memory map names it."""

    path: str
    """`/usr/sbin/nginx`, `[vdso]`, `//anon`, `/memfd:x (deleted)`; "" where it is not known."""
    build_id: bytes | None = None
    """What the file has to have; None where the recording does not say."""
    pid: int | None = None
    """A living process through whose root directory the file is looked for first."""
    held: int | None = None
    """A descriptor of the very file, for as long as the symboliser is used: it may be gone under every name."""
