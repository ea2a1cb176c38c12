"""Makes frames of two builds comparable: compilers put numbers and hashes into names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flamegraph.frames import Frame, Kind

# Rust's legacy hash; parts and copies that GCC and LLVM split off; the same as demanglers write it.
_SUFFIX = re.compile(
    r"(?:::h[0-9a-f]{16}|\.(?:cold|constprop|isra|part|llvm|lto_priv)(?:\.\d+)*|\s*\[clone \.[^\]]*\])+\Z"
)


def clean_name(name: str) -> str:
    """The name without what the compiler appended: `tcp_ack.part.0.cold` → `tcp_ack`."""
    return _SUFFIX.sub("", name) or name


def same_frames(frames: Iterable[Frame]) -> list[Frame]:
    """For each frame the one that stands for it: equal clean names, kernel apart from the rest.

    The module is the first one's: a library's version in its file name is no change of code.
    """
    found: dict[tuple[str, bool], Frame] = {}
    result = []
    for frame in frames:
        name = clean_name(frame.name)
        key = (name, frame.kind is Kind.KERNEL)
        result.append(found.setdefault(key, frame._replace(name=name)))
    return result
