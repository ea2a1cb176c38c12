"""The difference of two profiles: one tree of the stacks of both, with both weights at each node.

diff(before, after, DiffOptions(per="second")).top()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flamegraph.frames import Frame
from flamegraph.names import fold_names, same_frames
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.reconciliation import reconciled
from flamegraph.tree import Tree, build
from flamegraph.verdicts import SimpleRule, UnknownNoise, Verdict, VerdictInput, VerdictRule
from flamegraph.weights import Normalization, normalization

if TYPE_CHECKING:
    from flamegraph.verdicts import Floats, Verdicts


@dataclass(frozen=True)
class DiffOptions:
    """How two profiles are compared."""

    per: str = "share"
    """Normalization: "share" of the total weight, per "second" of the recording, or per "request"."""
    requests_a: float | None = None
    requests_b: float | None = None
    """Requests served during each recording, for "request"."""
    fold_threads: bool = False
    """Merge numbered threads, so that `reactor-0` is compared with `reactor-3`: both become `reactor-N`."""
    root: str = "comm"
    """Frame below each stack: "comm" or "none", as process ids differ between recordings."""
    rule: VerdictRule = field(default_factory=SimpleRule)
    """Gives the verdict of each node and function."""
    name_a: str = "A"
    name_b: str = "B"


@dataclass(frozen=True)
class DiffSide:
    """Weights and samples of one profile at each node: self, and with descendants."""

    profile: Profile
    name: str
    self_weight: Floats
    total_weight: Floats
    self_samples: Floats | None
    total_samples: Floats | None
    """None where the source has only weights."""
    divisor: float


@dataclass(frozen=True)
class Diff:
    """Two profiles in one tree. `verdict`: of each node with its descendants; `self_verdict`: of its self weight."""

    tree: Tree
    both: Profile
    a: DiffSide
    b: DiffSide
    normalization: Normalization
    verdict: Verdicts
    self_verdict: Verdicts
    options: DiffOptions
    notes: tuple[str, ...]

    def rate_a(self, self_only: bool = False) -> Floats:
        """Normalized weights before: total, or self only."""
        return _rate(self.a, self_only)

    def rate_b(self, self_only: bool = False) -> Floats:
        """Normalized weights after: total, or self only."""
        return _rate(self.b, self_only)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of nodes by verdict."""
        counts = np.bincount(self.verdict, minlength=len(Verdict))
        return {verdict.word: int(counts[verdict]) for verdict in Verdict}

    def top(self, rows: int = 30, by: str = "total") -> list[DiffRow]:
        """Functions by descending change of "total" (with callees) or "self" weight; `rows`: 0 for all."""

        return _top(self, rows, by)

    def to_dict(self, frames: bool = True) -> dict[str, Any]:
        """For JSON: sides, normalization, notes, functions; with `frames`, columns with one value per node."""

        return _document(self, frames)


def diff(before: Profile, after: Profile, options: DiffOptions | None = None) -> Diff:
    """Compare two profiles. Raises `ProfileError` where the numbers for the normalization are missing."""
    options = options or DiffOptions()
    normalized_by = normalization(before, after, options.per, options.requests_a, options.requests_b)
    before, after, adapted = reconciled(before, after, options.name_a, options.name_b)
    both = _joined(before, after, options)
    tree = build(both, options.root)
    rows = len(before.samples)
    in_a = np.arange(len(both.samples)) < rows
    counted = _counted(before) and _counted(after)
    a = _side(before, options.name_a, normalized_by.a, both, tree, in_a, counted)
    b = _side(after, options.name_b, normalized_by.b, both, tree, ~in_a, counted)
    verdicts = [
        options.rule(
            VerdictInput(
                _rate(a, self_only),
                _rate(b, self_only),
                a.self_samples if self_only else a.total_samples,
                b.self_samples if self_only else b.total_samples,
                float(_rate(a, False)[0]),
                float(_rate(b, False)[0]),
                before,
                after,
                tree.leaf[:rows],
                tree.leaf[rows:],
                not self_only,
            )
        )
        for self_only in (False, True)
    ]
    notes = (*adapted, *_notes(before, after, options, counted))
    return Diff(tree, both, a, b, normalized_by, verdicts[0], verdicts[1], options, notes)


def sample_counts(profile: Profile) -> Floats:
    """Samples of each row; the weights themselves where a source has only weights that count samples."""
    samples = profile.samples
    return samples.count.astype(np.float64) if profile.count else samples.weight


def _counted(profile: Profile) -> bool:
    return bool(profile.count) or profile.info.unit == "samples" or not len(profile.samples)


def _joined(before: Profile, after: Profile, options: DiffOptions) -> Profile:
    """One profile with the rows of both, those of `before` first, and matching frames and threads."""
    frames = [*before.frames, *after.frames]
    merged, number = _merged(same_frames(frames))
    threads = [*before.threads, *after.threads]
    if options.fold_threads:
        folded = fold_names(thread.comm for thread in threads)
        threads = [thread._replace(comm=folded[thread.comm]) for thread in threads]
    start = np.concatenate((before.stacks.start, after.stacks.start[1:] + before.stacks.start[-1]))
    frame = number[np.concatenate((before.stacks.frame, after.stacks.frame + len(before.frames)))]
    left, right = before.samples, after.samples
    samples = Samples(
        np.concatenate((left.stack, right.stack + len(before.stacks))),
        np.concatenate((left.thread, right.thread + len(before.threads))),
        np.concatenate((left.interval, right.interval)),
        np.concatenate((left.count, right.count)),
        np.concatenate((left.weight, right.weight)),
    )
    return Profile(merged, Stacks(start, frame), threads, samples, Info(after.info.event, after.info.unit))


def _merged(frames: Sequence[Any]) -> tuple[list[Any], Any]:
    numbers: dict[Any, int] = {}
    places = np.array([numbers.setdefault(frame, len(numbers)) for frame in frames], np.int64)
    return list(numbers), places


def _side(profile: Profile, name: str, divisor: float, both: Profile, tree: Tree, rows: Any, counted: bool) -> DiffSide:
    weight = np.where(rows, both.samples.weight, 0.0)
    self_weight, total_weight = tree.self_weight(weight), tree.total_weight(weight)
    if not counted:
        return DiffSide(profile, name, self_weight, total_weight, None, None, divisor)
    counts = np.zeros(len(weight))
    counts[rows] = sample_counts(profile)
    return DiffSide(
        profile, name, self_weight, total_weight, tree.self_weight(counts), tree.total_weight(counts), divisor
    )


def _rate(side: DiffSide, self_only: bool) -> Floats:
    weight = side.self_weight if self_only else side.total_weight
    return weight / side.divisor if side.divisor else np.zeros_like(weight)


def _notes(before: Profile, after: Profile, options: DiffOptions, counted: bool) -> list[str]:
    shared = [note for note in before.info.notes if note in after.info.notes]
    notes = [f"Both: {note}" for note in shared]
    notes += [f"{options.name_a}: {note}" for note in before.info.notes if note not in shared]
    notes += [f"{options.name_b}: {note}" for note in after.info.notes if note not in shared]
    for quantity, a, b in (
        ("stacks with an unsymbolized leaf", before.unsymbolized_share, after.unsymbolized_share),
        ("truncated stacks", _truncated(before), _truncated(after)),
    ):
        if abs(a - b) >= 0.01:
            notes.append(
                f"The share of {quantity} changed from {a:.1%} to {b:.1%}: part of this diff reflects symbols and"
                " stacks, not code."
            )
    events = (before.info.event, after.info.event)
    if all(events) and events[0] != events[1]:
        notes.append(f"The events differ: {events[0]} and {events[1]}.")
    if isinstance(options.rule, UnknownNoise):
        notes.append(str(options.rule))
    elif not counted:
        notes.append("One source has weights without samples, so the certainty of a change is unknown.")
    return notes


def _truncated(profile: Profile) -> float:
    return profile.info.truncated / profile.count if profile.count else 0.0


VERSION = 2
_NONE = np.zeros(0, np.int64)


class DiffRow(NamedTuple):
    """A function with normalized weights; recursive calls count once in the total."""

    frame: Frame
    self_a: float
    self_b: float
    total_a: float
    total_b: float
    self_verdict: Verdict
    verdict: Verdict

    @property
    def self_change(self) -> float:
        """After minus before, self."""
        return self.self_b - self.self_a

    @property
    def change(self) -> float:
        """After minus before, with callees."""
        return self.total_b - self.total_a


def _top(diff: Diff, rows: int, by: str) -> list[DiffRow]:
    if by not in ("total", "self"):
        raise ValueError(f"by {by!r} is neither total nor self")
    columns = _columns(diff)
    self_a, self_b, total_a, total_b = (columns[key] for key in ("self_a", "self_b", "total_a", "total_b"))
    change = np.abs(total_b - total_a if by == "total" else self_b - self_a)
    order = np.lexsort((-np.maximum(total_a, total_b), -change))
    order = order[np.maximum(total_a, total_b)[order] > 0]
    return [
        DiffRow(
            diff.both.frames[i],
            float(self_a[i]),
            float(self_b[i]),
            float(total_a[i]),
            float(total_b[i]),
            Verdict(int(columns["self_verdict"][i])),
            Verdict(int(columns["verdict"][i])),
        )
        for i in (order[:rows] if rows else order).tolist()
    ]


def _document(diff: Diff, frames: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": VERSION,
        "before": _described(diff.a),
        "after": _described(diff.b),
        "normalization": {
            "per": diff.normalization.per,
            "unit": diff.normalization.unit,
            "text": diff.normalization.text,
        },
        "rule": str(diff.options.rule),
        "notes": list(diff.notes),
        "frames_by_verdict": diff.counts,
        "functions": [_row(row) for row in diff.top(0)],
    }
    if frames:
        document["frames"] = _nodes(diff)
    return document


def _row(row: DiffRow) -> dict[str, Any]:
    return {
        "name": row.frame.name,
        "module": row.frame.module,
        "kind": row.frame.kind.name.lower(),
        "self_before": row.self_a,
        "self_after": row.self_b,
        "total_before": row.total_a,
        "total_after": row.total_b,
        "self_verdict": row.self_verdict.word,
        "verdict": row.verdict.word,
    }


def _nodes(diff: Diff) -> dict[str, Any]:
    tree = diff.tree
    names = ["all", *(frame.name for frame in tree.frames)]
    return {
        "parent": tree.parent.tolist(),
        "name": [names[frame + 1] for frame in tree.frame.tolist()],
        "self_before": diff.rate_a(self_only=True).tolist(),
        "self_after": diff.rate_b(self_only=True).tolist(),
        "total_before": diff.rate_a().tolist(),
        "total_after": diff.rate_b().tolist(),
        "self_verdict": [Verdict(number).word for number in diff.self_verdict.tolist()],
        "verdict": [Verdict(number).word for number in diff.verdict.tolist()],
    }


def _described(side: DiffSide) -> dict[str, Any]:
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
        "unsymbolized_share": side.profile.unsymbolized_share,
    }


def _columns(diff: Diff) -> dict[str, Any]:
    """Rates and verdicts of each function."""
    rows = len(diff.a.profile.samples)
    in_a = np.arange(len(diff.both.samples)) < rows
    found: dict[str, Any] = {}
    counts: dict[str, Floats | None] = {}
    for key, side, mask in (("a", diff.a, in_a), ("b", diff.b, ~in_a)):
        self_weight, total_weight = _per_frame(diff.both, np.where(mask, diff.both.samples.weight, 0.0))
        divisor = side.divisor or 1.0
        found |= {f"self_{key}": self_weight / divisor, f"total_{key}": total_weight / divisor}
        counts |= {f"self_{key}": None, f"total_{key}": None}
        if side.total_samples is not None:
            values = np.zeros(len(mask))
            values[mask] = sample_counts(side.profile)
            counts[f"self_{key}"], counts[f"total_{key}"] = _per_frame(diff.both, values)
    for key, column in (("self", "self_verdict"), ("total", "verdict")):
        found[column] = diff.options.rule(
            VerdictInput(
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
    """Self and total weight of each function; `weight`: one value per row of samples."""
    stacks, frames = profile.stacks, max(len(profile.frames), 1)
    by_stack = np.bincount(profile.samples.stack, weight, len(stacks))
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    in_stack, frame = np.divmod(np.unique(owner * frames + stacks.frame), frames)
    filled = np.flatnonzero(stacks.depth)
    leaf = stacks.frame[stacks.start[1:][filled] - 1]
    self_weight = np.bincount(leaf, by_stack[filled], len(profile.frames)).astype(np.float64)
    return self_weight, np.bincount(frame, by_stack[in_stack], len(profile.frames)).astype(np.float64)
