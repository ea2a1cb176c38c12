"""The deepest functions that explain the change of the stacks, and functions that may only have been renamed.

A node in the call tree of both sides explains its change if its function changed and the nodes that it called account
for less than `_ENOUGH` of the change. The change is assigned from the leaves down to the root, so that a caller is
listed only for the part that its callees do not explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flamegraph.diff import Diff, DiffOptions, diff
from flamegraph.verdicts import Verdict, VerdictInput
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
# A smaller share of the largest change is assigned to the caller.
_MIN_SHARE = 0.02


@dataclass(frozen=True)
class Explained:
    """A function and its share of the change in time on CPU."""

    function: str
    module: str
    path: tuple[str, ...]
    """Callers on its heaviest path, from the root."""
    delta: float
    """In `unit`, per `per`."""
    unit: str
    per: str
    relative_growth: float | None
    """Ratio B / A of the function over the ratio B / A of the total; None if A has no samples of it."""
    share_of_delta: float
    """Its share of all explained change, 0 to 1."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "function": self.function,
            "module": self.module or None,
            "path": list(self.path),
            "delta": self.delta,
            "unit": self.unit,
            "per": self.per,
            "relative_growth": self.relative_growth,
            "share_of_delta": self.share_of_delta,
        }


def explain(a: Side, b: Side, per: str, rows: Sequence[Change]) -> tuple[Explained, ...]:
    """Functions that explain the change, ranked by relative growth times share of the change."""
    changed = {(row.name, row.module): row for row in rows if row.changed and row.kind == "function"}
    if not changed:
        return ()
    both = diff_of(a, b, per)
    nodes, explained = _explaining(both, changed)
    return _described(both, nodes, explained, changed, per)


def diff_of(a: Side, b: Side, per: str) -> Diff:
    """The call tree of both sides, with rates per second or request, without verdicts."""
    options = DiffOptions(per="second", fold_threads=True, rule=_no_verdicts)
    if per == "request":
        options = DiffOptions("request", a.requests, b.requests, True, rule=_no_verdicts)
    return diff(merged(a.profiles), merged(b.profiles), options)


def _no_verdicts(compared: VerdictInput) -> Verdicts:
    return np.full(len(compared.rate_a), Verdict.INCONCLUSIVE, np.uint8)


def _explaining(both: Diff, changed: dict[tuple[str, str], Change]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Nodes that explain a change, and the change that each node explains."""
    tree, change = both.tree, both.rate_b() - both.rate_a()
    sign = np.zeros(len(tree.frames) + 1)
    for number, frame in enumerate(tree.frames):
        if row := changed.get((frame.name, frame.module)):
            sign[number] = 1.0 if row.verdict in ("more", "new") else -1.0
    eligible = (sign[tree.frame] * change > 0) & (tree.frame >= 0)
    eligible &= np.abs(change) >= _MIN_SHARE * np.abs(change[eligible]).max(initial=0.0)
    explained, by_callees = np.zeros(len(tree)), np.zeros(len(tree))
    for level in range(int(tree.depth.max(initial=0)), 0, -1):
        nodes = np.flatnonzero(tree.depth == level)
        rest = change[nodes] - by_callees[nodes]
        enough = (rest * change[nodes] > 0) & (np.abs(rest) > (1 - _ENOUGH) * np.abs(change[nodes]))
        explained[nodes] = np.where(eligible[nodes] & enough, rest, 0.0)
        np.add.at(by_callees, tree.parent[nodes], by_callees[nodes] + explained[nodes])
    return np.flatnonzero(explained), explained


def _described(
    both: Diff, nodes: npt.NDArray[np.int64], explained: Floats, changed: dict[tuple[str, str], Change], per: str
) -> tuple[Explained, ...]:
    tree = both.tree
    found: dict[int, list[int]] = {}
    for node in nodes[np.argsort(-np.abs(explained[nodes]))].tolist():
        found.setdefault(int(tree.frame[node]), []).append(node)
    total = float(np.abs(explained).sum()) or 1.0
    scale = 1000.0 if per == "request" else 1.0
    growth = _growth(float(both.rate_a()[0]), float(both.rate_b()[0])) or 1.0
    rows = []
    for frame, of_frame in found.items():
        row = changed[tree.frames[frame].name, tree.frames[frame].module]
        own_growth = _growth(row.rate_a, row.rate_b)
        delta = float(explained[of_frame].sum())
        rows.append(
            Explained(
                row.name,
                row.module,
                _path(both, of_frame[0]),
                delta / scale,
                row.unit,
                per,
                own_growth / growth if own_growth is not None else None,
                abs(delta) / total,
            )
        )
    return tuple(sorted(rows, key=lambda row: -_rank(row)))


def _growth(before: float, after: float) -> float | None:
    return after / before if before > 0 else None


def _rank(row: Explained) -> float:
    """Relative growth times share of the change; a decrease counts as its inverse, new and gone code as a factor 10."""
    factor = 10.0 if not row.relative_growth else max(row.relative_growth, 1 / row.relative_growth)
    return min(factor, 10.0) * row.share_of_delta


def _path(both: Diff, node: int) -> tuple[str, ...]:
    names: list[str] = []
    parent = int(both.tree.parent[node])
    while parent > 0:
        names.append(both.tree.frames[int(both.tree.frame[parent])].name)
        parent = int(both.tree.parent[parent])
    return tuple(reversed(names))


# ---- Renamed or inlined functions ----

# Names of a renamed function are at least this similar.
_SIMILAR_NAME = 0.5
_MAX_FUNCTIONS = 20


@dataclass(frozen=True)
class Renamed:
    """`before` is gone. `after` is new with a similar weight and the same caller, or it is the caller and grew."""

    how: Literal["renamed", "inlined"]
    before: str
    after: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"how": self.how, "before": self.before, "after": self.after}


def possibly_renamed(a: Side, b: Side, per: str, rows: Sequence[Change]) -> tuple[Renamed, ...]:
    """For each function that is gone, the functions that may contain its code now."""
    inclusive = {row.name: row for row in rows if row.kind == "function"}
    of_self = {row.name: row for row in rows if row.kind == "function self"}
    gone = [row for row in inclusive.values() if row.verdict == "gone"][:_MAX_FUNCTIONS]
    new = [row for row in inclusive.values() if row.verdict == "new"][:_MAX_FUNCTIONS]
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
        gone_self = of_self.get(row.name)
        for caller in sorted(callers & of_self.keys()):
            growth = of_self[caller].rate_b - of_self[caller].rate_a
            if of_self[caller].verdict in ("more", "new") and gone_self and _near(growth, gone_self.rate_a):
                found.append(Renamed("inlined", row.name, caller))
    return tuple(found)


def _alike(before: Change, after: Change) -> bool:
    if not _near(before.rate_a, after.rate_b):
        return False
    return SequenceMatcher(None, before.name, after.name, autojunk=False).ratio() >= _SIMILAR_NAME


def _near(left: float, right: float) -> bool:
    return left > 0 and right > 0 and max(left, right) <= SIMILAR_WEIGHT * min(left, right)


def _callers(profile: Profile, names: set[str]) -> dict[str, set[str]]:
    """Names of the direct callers of each of these functions."""
    from flamegraph.names import clean_name

    clean = [clean_name(frame.name) for frame in profile.frames]
    wanted = np.array([name in names for name in clean], bool)
    stacks = profile.stacks
    called = np.flatnonzero(wanted[stacks.frame]) if len(stacks.frame) else np.zeros(0, np.int64)
    called = np.setdiff1d(called, stacks.start)
    pairs = np.unique(np.stack((stacks.frame[called], stacks.frame[called - 1])), axis=1)
    found: dict[str, set[str]] = {}
    for frame, caller in pairs.T.tolist():
        found.setdefault(clean[frame], set()).add(clean[caller])
    return found
