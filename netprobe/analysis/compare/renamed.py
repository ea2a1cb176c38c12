"""Functions that may only have got another name, or been inlined into their caller: proposals, never assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.sides import Side

if TYPE_CHECKING:
    from flamegraph.profile import Profile

# Weights of the same code differ by less than this factor; and a name by less than half.
SIMILAR_WEIGHT, _SIMILAR_NAME = 1.6, 0.5
_MOST = 20


@dataclass(frozen=True)
class Renamed:
    """`before` went; `after` came with its weight and caller (renamed), or is its caller and grew by it (inlined)."""

    how: Literal["renamed", "inlined"]
    before: str
    after: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"how": self.how, "before": self.before, "after": self.after}


def proposals(a: Side, b: Side, per: str, rows: Sequence[Change]) -> tuple[Renamed, ...]:
    """For each function that went, what may have become of it."""
    whole = {row.name: row for row in rows if row.kind == "function"}
    own = {row.name: row for row in rows if row.kind == "function itself"}
    gone = [row for row in whole.values() if row.verdict == "gone"][:_MOST]
    new = [row for row in whole.values() if row.verdict == "new"][:_MOST]
    if not gone:
        return ()
    callers_a = _callers(a.profiles[0], {row.name for row in gone})
    callers_b = _callers(b.profiles[0], {row.name for row in new})
    found: list[Renamed] = []
    for row in gone:
        callers = callers_a.get(row.name, set())
        for other in new:
            if callers & callers_b.get(other.name, set()) and _alike(row, other):
                found.append(Renamed("renamed", row.name, other.name))
        itself = own.get(row.name)
        for caller in sorted(callers & own.keys()):
            grown = own[caller].rate_b - own[caller].rate_a
            if own[caller].verdict in ("more", "new") and itself and _near(grown, itself.rate_a):
                found.append(Renamed("inlined", row.name, caller))
    return tuple(found)


def _alike(before: Change, after: Change) -> bool:
    if not _near(before.rate_a, after.rate_b):
        return False
    return SequenceMatcher(None, before.name, after.name, autojunk=False).ratio() >= _SIMILAR_NAME


def _near(left: float, right: float) -> bool:
    return left > 0 and right > 0 and max(left, right) <= SIMILAR_WEIGHT * min(left, right)


def _callers(profile: Profile, names: set[str]) -> dict[str, set[str]]:
    """Names of the functions right below each of these in a stack."""
    from flamegraph.matching import clean_name

    clean = [clean_name(frame.name) for frame in profile.frames]
    wanted = np.array([name in names for name in clean], bool)
    stacks = profile.stacks
    places = np.flatnonzero(wanted[stacks.frame]) if len(stacks.frame) else np.zeros(0, np.int64)
    places = np.setdiff1d(places, stacks.start)
    pairs = np.unique(np.stack((stacks.frame[places], stacks.frame[places - 1])), axis=1)
    found: dict[str, set[str]] = {}
    for frame, caller in pairs.T.tolist():
        found.setdefault(clean[frame], set()).add(clean[caller])
    return found
