"""The functions of a diff as rows, and a diff as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flamegraph.diff import sample_counts
from flamegraph.frames import Frame
from flamegraph.verdicts import Evidence, Verdict

if TYPE_CHECKING:
    from flamegraph.diff import Diff, Side
    from flamegraph.profile import Profile
    from flamegraph.verdicts import Floats

VERSION = 1
_NONE = np.zeros(0, np.int64)


class DiffRow(NamedTuple):
    """A function, in the denominator's unit; one that calls itself counts once in its total."""

    frame: Frame
    own_a: float
    own_b: float
    total_a: float
    total_b: float
    own_verdict: Verdict
    verdict: Verdict

    @property
    def own_change(self) -> float:
        """After less before, of the function itself."""
        return self.own_b - self.own_a

    @property
    def change(self) -> float:
        """After less before, with all that the function calls."""
        return self.total_b - self.total_a


def top(diff: Diff, rows: int = 30, by: str = "total") -> list[DiffRow]:
    """Functions, largest change first; 0 = all."""
    if by not in ("total", "own"):
        raise ValueError(f"by {by!r} is neither total nor own")
    columns = _columns(diff)
    own_a, own_b, total_a, total_b = (columns[key] for key in ("own_a", "own_b", "total_a", "total_b"))
    change = np.abs(total_b - total_a if by == "total" else own_b - own_a)
    order = np.lexsort((-np.maximum(total_a, total_b), -change))
    order = order[np.maximum(total_a, total_b)[order] > 0]
    return [
        DiffRow(
            diff.both.frames[i],
            float(own_a[i]),
            float(own_b[i]),
            float(total_a[i]),
            float(total_b[i]),
            Verdict(int(columns["own_verdict"][i])),
            Verdict(int(columns["verdict"][i])),
        )
        for i in (order[:rows] if rows else order).tolist()
    ]


def to_dict(diff: Diff, boxes: bool) -> dict[str, Any]:
    """See `Diff.to_dict`."""
    document: dict[str, Any] = {
        "version": VERSION,
        "before": _described(diff.a),
        "after": _described(diff.b),
        "denominator": {
            "per": diff.denominator.per,
            "unit": diff.denominator.unit,
            "text": diff.denominator.text,
        },
        "judge": str(diff.options.judge),
        "notes": list(diff.notes),
        "boxes_by_verdict": diff.counts,
        "functions": [_row(row) for row in top(diff, 0)],
    }
    if boxes:
        document["boxes"] = _boxes(diff)
    return document


def _row(row: DiffRow) -> dict[str, Any]:
    return {
        "name": row.frame.name,
        "module": row.frame.module,
        "kind": row.frame.kind.name.lower(),
        "own_before": row.own_a,
        "own_after": row.own_b,
        "total_before": row.total_a,
        "total_after": row.total_b,
        "own_verdict": row.own_verdict.word,
        "verdict": row.verdict.word,
    }


def _boxes(diff: Diff) -> dict[str, Any]:
    tree = diff.tree
    names = ["all", *(frame.name for frame in tree.frames)]
    return {
        "parent": tree.parent.tolist(),
        "name": [names[frame + 1] for frame in tree.frame.tolist()],
        "own_before": diff.rate_a(own=True).tolist(),
        "own_after": diff.rate_b(own=True).tolist(),
        "total_before": diff.rate_a().tolist(),
        "total_after": diff.rate_b().tolist(),
        "own_verdict": [Verdict(number).word for number in diff.own_verdict.tolist()],
        "verdict": [Verdict(number).word for number in diff.verdict.tolist()],
    }


def _described(side: Side) -> dict[str, Any]:
    info = side.profile.info
    return {
        "name": side.name,
        "title": info.title,
        "event": info.event,
        "unit": info.unit,
        "seconds": info.seconds,
        "weight": side.profile.total,
        "samples": side.profile.count,
        "lost": info.lost,
        "truncated": info.truncated,
        "unknown_share": side.profile.unknown_share,
    }


def _columns(diff: Diff) -> dict[str, Any]:
    """Rates and verdicts of each function."""
    rows = len(diff.a.profile.samples)
    in_a = np.arange(len(diff.both.samples)) < rows
    found: dict[str, Any] = {}
    counts: dict[str, Floats | None] = {}
    for key, side, mask in (("a", diff.a, in_a), ("b", diff.b, ~in_a)):
        own, total = _per_frame(diff.both, np.where(mask, diff.both.samples.weight, 0.0))
        divisor = side.divisor or 1.0
        found |= {f"own_{key}": own / divisor, f"total_{key}": total / divisor}
        counts |= {f"own_{key}": None, f"total_{key}": None}
        if side.samples is not None:
            values = np.zeros(len(mask))
            values[mask] = sample_counts(side.profile)
            counts[f"own_{key}"], counts[f"total_{key}"] = _per_frame(diff.both, values)
    for key, column in (("own", "own_verdict"), ("total", "verdict")):
        found[column] = diff.options.judge(
            Evidence(
                found[f"{key}_a"],
                found[f"{key}_b"],
                counts[f"{key}_a"],
                counts[f"{key}_b"],
                float(diff.rate_a()[0]),
                float(diff.rate_b()[0]),
                diff.a.profile,
                diff.b.profile,
                _NONE,
                _NONE,
                key == "total",
            )
        )
    return found


def _per_frame(profile: Profile, weight: Floats) -> tuple[Floats, Floats]:
    """Own and total of each frame, of one weight for each row."""
    stacks, frames = profile.stacks, max(len(profile.frames), 1)
    by_stack = np.bincount(profile.samples.stack, weight, len(stacks))
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    in_stack, frame = np.divmod(np.unique(owner * frames + stacks.frame), frames)
    filled = np.flatnonzero(stacks.depth)
    leaf = stacks.frame[stacks.start[1:][filled] - 1]
    own = np.bincount(leaf, by_stack[filled], len(profile.frames)).astype(np.float64)
    return own, np.bincount(frame, by_stack[in_stack], len(profile.frames)).astype(np.float64)
