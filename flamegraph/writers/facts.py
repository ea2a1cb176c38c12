"""What a page says about how a profile was taken: label, value, and whether it deserves a second look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flamegraph.amounts import amount
from flamegraph.writers.shown import shown

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile

    Fact = tuple[str, str, bool]

_MUCH = 0.01


def facts(profile: Profile) -> list[Fact]:
    """In the order in which a reader asks."""
    info, count, total = profile.info, profile.count, profile.total
    found: list[Fact] = [("event", shown(info.event) or "not known", False)]
    if info.seconds:
        found.append(("recorded", f"{info.seconds:,.4g} s", False))
    if count:
        found.append(("samples", f"{count:,}", False))
    if not count or total != count:
        found.append(("weight", amount(total, shown(info.unit)), False))
    found.append(("lost", _part(info.lost, count + info.lost), info.lost > 0))
    found.append(("truncated", _part(info.truncated, count), info.truncated > _MUCH * count))
    found.append(("leaf unknown", f"{profile.unknown_share:.1%}", profile.unknown_share > _MUCH))
    return found


def notes(profile: Profile) -> list[str]:
    """Sentences below the facts."""
    found = [shown(note) for note in profile.info.notes]
    if profile.info.other_events:
        names = ", ".join(shown(name) for name in profile.info.other_events)
        found.append(f"The file has other events, not shown here: {names}.")
    return found


def diff_facts(diff: Diff) -> list[Fact]:
    """Of both sides: before → after."""
    left, right = dict(_plain(diff.a.profile)), dict(_plain(diff.b.profile))
    loud = {label for side in (diff.a, diff.b) for label, _, warns in facts(side.profile) if warns}
    labels = [*left, *(label for label in right if label not in left)]
    return [
        (label, _both(left.get(label, "not known"), right.get(label, "not known")), label in loud) for label in labels
    ]


def _plain(profile: Profile) -> list[tuple[str, str]]:
    return [(label, value) for label, value, _ in facts(profile)]


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} → {b}"


def _part(number: int, whole: int) -> str:
    return f"{number:,} ({number / whole:.1%})" if number and whole else f"{number:,}"
