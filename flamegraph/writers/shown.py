"""Names as a page may show them: whatever could act or hide is spelt out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flamegraph.frames import Frame, Kind
from flamegraph.writers.options import WriteOptions

# Controls, direction marks and other invisible characters, lone surrogates (bytes that were not UTF-8) and
# what XML 1.0 has no way to write.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
    "|[\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0010fffe\U0010ffff]"
)
_ANNOTATIONS = {Kind.KERNEL: "_[k]", Kind.JIT: "_[j]", Kind.INLINED: "_[i]"}


def shown(name: str) -> str:
    """The name with `\\x1b`, `\\u202e` … in place of such characters."""
    return _UNSAFE.sub(_spelt, name)


def labels(frames: Sequence[Frame], options: WriteOptions) -> list[str]:
    """What stands in the boxes of frames, with the annotations that were asked for."""
    marked = {Kind.KERNEL} if options.annotate_kernel else set()
    if options.annotate_jit:
        marked |= {Kind.JIT, Kind.INLINED}
    return [shown(frame.name) + (_ANNOTATIONS[frame.kind] if frame.kind in marked else "") for frame in frames]


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
