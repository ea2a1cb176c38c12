"""What a reader is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReadOptions:
    """How to read a profile; what a format has no use for is ignored."""

    event: str | None = None
    """Which of several events; the one that was sampled first otherwise."""
    unit: str = ""
    """What the numbers of folded stacks count, which the text does not say; samples otherwise. Of `us`, `ms` and
    `s` the weights become `ns`, as other formats have them."""
    salvage: bool = False
    """Of a broken file, keep what stands before the break, and say so, instead of refusing it."""
    addresses: bool = False
    """Show addresses where a frame has no name: `[libc.so.6 <7f0012>]`."""
    java_only_by_name: bool = False
    """Treat as Java only a process that is named exactly `java`, and not `java-2512/2513` as well: how
    FlameGraph's collapser behaved when four of its expected results were made. As a thread always has its
    number, class names then stay as they are: `Ljava/io/Print`."""
    symbols_root: Path = Path("/")
    """Where the files that were mapped are found: the root of a copy of the recorded machine."""
    downloads: bool = True
    """Ask debuginfod where DEBUGINFOD_URLS is set."""
