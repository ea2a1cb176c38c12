"""The deepest functions that explain what changed in the stacks.

In the tree of both sides' stacks a box explains its change if its function changed and the boxes above it account
for less of the change than `_ENOUGH`; the change is taken from the leaves down to the root, so that a caller is
named only for what its callees do not explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.diff import Diff, DiffOptions, diff
from flamegraph.verdicts import Evidence, Verdict
from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.merging import merged
from netprobe.analysis.compare.sides import Side

if TYPE_CHECKING:
    import numpy.typing as npt

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
