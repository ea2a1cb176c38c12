"""How a profile is drawn or written; one value for every format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WriteOptions:
    """What a format has no use for is ignored."""

    title: str = ""
    """Empty: the profile's own."""
    root: str = "comm"
    """What stands at the base: "comm", "pid", "tid" or "none"."""
    annotate_kernel: bool = False
    """Append `_[k]` to the names of kernel frames."""
    annotate_jit: bool = False
    """Append `_[j]` to frames of a JIT, `_[i]` to inlined ones."""
    width: int = 1200
    """Pixels, of an SVG."""
    min_width: float = 0.1
    """Boxes narrower than this many pixels at full width are left out, and counted on the page."""
    reverse: bool = False
    """Merge from the leaf: callers of each function."""
    inverted: bool = False
    """Root on top (icicle)."""
    colors: str = "kind"
    """`kind` (kernel, user, JIT, inlined), or a palette: `hot`, `mem`, `io`, `aqua`, `orange`, `red`, `green`,
    `blue`, `yellow`, `purple`."""
