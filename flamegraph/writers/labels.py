"""Texts of a page: recording details, labels of frames, and names sanitized for display."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flamegraph.frames import Frame, Kind
from flamegraph.weights import format_weight
from flamegraph.writers import WriteOptions

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Info, Profile

    Detail = tuple[str, str, bool]

# Controls, direction marks and other invisible characters, lone surrogates (bytes that were not UTF-8) and
# characters that XML 1.0 cannot contain.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
    "|[\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0010fffe\U0010ffff]"
)
_ANNOTATIONS = {Kind.KERNEL: "_[k]", Kind.JIT: "_[j]", Kind.INLINED: "_[i]"}


def sanitized(name: str) -> str:
    """The name with escapes `\\x1b`, `\\u202e` … for characters that could act or hide."""
    return _UNSAFE.sub(_escaped, name)


def labels(frames: Sequence[Frame], options: WriteOptions) -> list[str]:
    """Labels of frames, with the annotations of the options."""
    marked = {Kind.KERNEL} if options.annotate_kernel else set()
    if options.annotate_jit:
        marked |= {Kind.JIT, Kind.INLINED}
    return [sanitized(frame.name) + (_ANNOTATIONS[frame.kind] if frame.kind in marked else "") for frame in frames]


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_WARNING_SHARE = 0.01


def recording_details(profile: Profile) -> list[Detail]:
    """Label, value and whether it is a warning."""
    info, count, total = profile.info, profile.count, profile.total
    found: list[Detail] = [("event", sanitized(info.event) or "unknown", False)]
    if info.seconds:
        found.append(("recorded", f"{info.seconds:,.4g} s", False))
    if count:
        found.append(("samples", f"{count:,}", False))
    if not count or total != count:
        found.append((_weight_label(info), format_weight(total, sanitized(info.unit)), False))
    found.append(("lost", _part(info.lost, count + info.lost), info.lost > 0))
    found.append(("truncated", _part(info.truncated, count), info.truncated > _WARNING_SHARE * count))
    share = profile.unsymbolized_share
    found.append(("unsymbolized", f"{share:.1%}", share > _WARNING_SHARE))
    return found


def _weight_label(info: Info) -> str:
    """`CPU time`, `waiting time`, or `total` where the value has the unit of the event."""
    if info.unit != "ns":
        return "total"
    return {"": "time", "off-cpu": "waiting time"}.get(info.event, "CPU time")


def notes(profile: Profile) -> list[str]:
    """Notes below the recording details."""
    found = [sanitized(note) for note in profile.info.notes]
    if profile.info.other_events:
        names = ", ".join(sanitized(name) for name in profile.info.other_events)
        found.append(f"The file has other events, not shown here: {names}.")
    return found


def diff_details(diff: Diff) -> list[Detail]:
    """Recording details of both sides: before → after."""
    left, right = dict(_plain(diff.a.profile)), dict(_plain(diff.b.profile))
    warnings = {
        label for side in (diff.a, diff.b) for label, _, is_warning in recording_details(side.profile) if is_warning
    }
    labels = [*left, *(label for label in right if label not in left)]
    return [
        (label, _both(left.get(label, "unknown"), right.get(label, "unknown")), label in warnings) for label in labels
    ]


def _plain(profile: Profile) -> list[tuple[str, str]]:
    return [(label, value) for label, value, _ in recording_details(profile)]


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} → {b}"


def _part(number: int, whole: int) -> str:
    return f"{number:,} ({number / whole:.1%})" if number and whole else f"{number:,}"
