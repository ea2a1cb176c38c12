"""The deepest functions that explain what changed in the stacks.

In the tree of both sides' stacks a box explains its change if its function changed and the boxes above it account
for less of the change than `_ENOUGH`; the change is taken from the leaves down to the root, so that a caller is
named only for what its callees do not explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flamegraph.diff import Diff, DiffOptions, diff
from flamegraph.verdicts import Evidence, Verdict
from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.functions import merged
from netprobe.analysis.compare.noise import SIMILAR_WEIGHT
from netprobe.analysis.compare.sides import Side

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.profile import Profile
    from flamegraph.verdicts import Verdicts

    Floats = npt.NDArray[np.float64]

_ENOUGH = 0.8
# A box with less of the whole change is left to its caller.
_LEAST = 0.02


@dataclass(frozen=True)
class Explained:
    """A function and its part in the change of time on CPU."""

    function: str
    module: str
    path: tuple[str, ...]
    """Its heaviest way from the root, without itself."""
    change: float
    """In `unit` by second or request."""
    unit: str
    per: str
    overweight: float | None
    """Its growth over the growth of everything; None where A has none of it."""
    responsibility: float
    """Its share of all that is explained, 0 to 1."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "function": self.function,
            "module": self.module or None,
            "path": list(self.path),
            "change": self.change,
            "unit": self.unit,
            "per": self.per,
            "overweight": self.overweight,
            "responsibility": self.responsibility,
        }


def explain(a: Side, b: Side, per: str, rows: Sequence[Change]) -> tuple[Explained, ...]:
    """Ranked by overweight x responsibility."""
    changed = {(row.name, row.module): row for row in rows if row.changed and row.kind == "function"}
    if not changed:
        return ()
    both = diff_of(a, b, per)
    boxes, part = _explaining(both, changed)
    return _described(both, boxes, part, changed, per)


def diff_of(a: Side, b: Side, per: str) -> Diff:
    """The tree of both sides, with rates by second or request and without verdicts."""
    options = DiffOptions(per="second", fold_threads=True, judge=_nobody)
    if per == "request":
        options = DiffOptions("request", a.requests, b.requests, True, judge=_nobody)
    return diff(merged(a.profiles), merged(b.profiles), options)


def _nobody(evidence: Evidence) -> Verdicts:
    return np.full(len(evidence.rate_a), Verdict.CANNOT_TELL, np.uint8)


def _explaining(both: Diff, changed: dict[tuple[str, str], Change]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Boxes that explain, and how much of the change each takes on itself."""
    tree, change = both.tree, both.rate_b() - both.rate_a()
    sign = np.zeros(len(tree.frames) + 1)
    for number, frame in enumerate(tree.frames):
        if row := changed.get((frame.name, frame.module)):
            sign[number] = 1.0 if row.verdict in ("more", "new") else -1.0
    fits = (sign[tree.frame] * change > 0) & (tree.frame >= 0)
    fits &= np.abs(change) >= _LEAST * np.abs(change[fits]).max(initial=0.0)
    taken, above = np.zeros(len(tree)), np.zeros(len(tree))
    for level in range(int(tree.depth.max(initial=0)), 0, -1):
        boxes = np.flatnonzero(tree.depth == level)
        left = change[boxes] - above[boxes]
        own = fits[boxes] & (left * change[boxes] > 0) & (np.abs(left) > (1 - _ENOUGH) * np.abs(change[boxes]))
        taken[boxes] = np.where(own, left, 0.0)
        np.add.at(above, tree.parent[boxes], above[boxes] + taken[boxes])
    return np.flatnonzero(taken), taken


def _described(
    both: Diff, boxes: npt.NDArray[np.int64], taken: Floats, changed: dict[tuple[str, str], Change], per: str
) -> tuple[Explained, ...]:
    tree = both.tree
    found: dict[int, list[int]] = {}
    for box in boxes[np.argsort(-np.abs(taken[boxes]))].tolist():
        found.setdefault(int(tree.frame[box]), []).append(box)
    everything = float(np.abs(taken).sum()) or 1.0
    scale = 1000.0 if per == "request" else 1.0
    growth = _growth(float(both.rate_a()[0]), float(both.rate_b()[0])) or 1.0
    rows = []
    for frame, places in found.items():
        row = changed[tree.frames[frame].name, tree.frames[frame].module]
        own = _growth(row.rate_a, row.rate_b)
        change = float(taken[places].sum())
        rows.append(
            Explained(
                row.name,
                row.module,
                _path(both, places[0]),
                change / scale,
                row.unit,
                per,
                own / growth if own is not None else None,
                abs(change) / everything,
            )
        )
    return tuple(sorted(rows, key=lambda one: -_rank(one)))


def _growth(before: float, after: float) -> float | None:
    return after / before if before > 0 else None


def _rank(one: Explained) -> float:
    """Overweight x responsibility; shrinking is as heavy as growing, new and gone code as ten times."""
    weight = 10.0 if not one.overweight else max(one.overweight, 1 / one.overweight)
    return min(weight, 10.0) * one.responsibility


def _path(both: Diff, box: int) -> tuple[str, ...]:
    names: list[str] = []
    parent = int(both.tree.parent[box])
    while parent > 0:
        names.append(both.tree.frames[int(both.tree.frame[parent])].name)
        parent = int(both.tree.parent[parent])
    return tuple(reversed(names))


# Names of the same function are at least so similar.
_SIMILAR_NAME = 0.5
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
    from flamegraph.names import clean_name

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
