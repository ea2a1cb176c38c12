"""What changed between two profiles: a tree of the stacks of both, with both weights in each box.

diff(before, after, DiffOptions(per="second")).top()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.alignment import aligned
from flamegraph.denominators import Denominator, denominator_for
from flamegraph.matching import same_frames
from flamegraph.names import fold_names
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.tree import Tree
from flamegraph.verdicts import Evidence, Judge, NothingKnown, SimpleRule, Verdict

if TYPE_CHECKING:
    from flamegraph.difftop import DiffRow
    from flamegraph.verdicts import Floats, Verdicts


@dataclass(frozen=True)
class DiffOptions:
    """How two profiles are compared."""

    per: str = "share"
    """The denominator: "share" of the weight, "second" of the recording, or "request"."""
    requests_a: float | None = None
    requests_b: float | None = None
    """Requests served while each side was recorded, for "request"."""
    fold_threads: bool = False
    """`reactor-0` of one side is `reactor-3` of the other: both are `reactor-N`."""
    root: str = "comm"
    """What stands at the base: "comm" or "none"; numbers of processes differ between recordings."""
    judge: Judge = field(default_factory=SimpleRule)
    """Says of each box whether it changed."""
    name_a: str = "A"
    name_b: str = "B"


@dataclass(frozen=True)
class Side:
    """One profile's part in each box: weight and samples of its own, and with all above it."""

    profile: Profile
    name: str
    own: Floats
    total: Floats
    own_samples: Floats | None
    samples: Floats | None
    """None where the source has only weights."""
    divisor: float


@dataclass(frozen=True)
class Diff:
    """Two profiles in one tree. `verdict` is of each box with all above it, `own_verdict` of the box itself."""

    tree: Tree
    both: Profile
    a: Side
    b: Side
    denominator: Denominator
    verdict: Verdicts
    own_verdict: Verdicts
    options: DiffOptions
    notes: tuple[str, ...]

    def rate_a(self, own: bool = False) -> Floats:
        """Before, in the denominator's unit."""
        return _rate(self.a, own)

    def rate_b(self, own: bool = False) -> Floats:
        """After, in the denominator's unit."""
        return _rate(self.b, own)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Boxes by verdict."""
        found = np.bincount(self.verdict, minlength=len(Verdict))
        return {verdict.word: int(found[verdict]) for verdict in Verdict}

    def top(self, rows: int = 30, by: str = "total") -> list[DiffRow]:
        """Functions, largest change first, of "total" (with what they call) or "own" weight; 0 = all."""
        from flamegraph.difftop import top

        return top(self, rows, by)

    def to_dict(self, boxes: bool = True) -> dict[str, Any]:
        """For JSON: sides, denominator, notes, functions, and with `boxes` a column a property of the boxes."""
        from flamegraph.difftop import to_dict

        return to_dict(self, boxes)


def diff(before: Profile, after: Profile, options: DiffOptions | None = None) -> Diff:
    """Compare; raises `ProfileError` where the denominator that was asked for is not known."""
    options = options or DiffOptions()
    denominator = denominator_for(before, after, options.per, options.requests_a, options.requests_b)
    before, after, adapted = aligned(before, after, options.name_a, options.name_b)
    both = _together(before, after, options)
    tree = both.tree(options.root)
    rows = len(before.samples)
    in_a = np.arange(len(both.samples)) < rows
    counted = _counted(before) and _counted(after)
    a = _side(before, options.name_a, denominator.a, both, tree, in_a, counted)
    b = _side(after, options.name_b, denominator.b, both, tree, ~in_a, counted)
    verdicts = [
        options.judge(
            Evidence(
                _rate(a, own),
                _rate(b, own),
                a.own_samples if own else a.samples,
                b.own_samples if own else b.samples,
                float(_rate(a, False)[0]),
                float(_rate(b, False)[0]),
                before,
                after,
                tree.leaf[:rows],
                tree.leaf[rows:],
                not own,
            )
        )
        for own in (False, True)
    ]
    notes = (*adapted, *_notes(before, after, options, counted))
    return Diff(tree, both, a, b, denominator, verdicts[0], verdicts[1], options, notes)


def sample_counts(profile: Profile) -> Floats:
    """Samples behind each row; where the source has only weights that count samples, those."""
    samples = profile.samples
    return samples.count.astype(np.float64) if profile.count else samples.weight


def _counted(profile: Profile) -> bool:
    return bool(profile.count) or profile.info.unit == "samples" or not len(profile.samples)


def _together(before: Profile, after: Profile, options: DiffOptions) -> Profile:
    """One profile of the rows of both, those of `before` first, with frames and threads that match."""
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


def _side(profile: Profile, name: str, divisor: float, both: Profile, tree: Tree, rows: Any, counted: bool) -> Side:
    weight = np.where(rows, both.samples.weight, 0.0)
    own, total = tree.own(weight), tree.total(weight)
    if not counted:
        return Side(profile, name, own, total, None, None, divisor)
    counts = np.zeros(len(weight))
    counts[rows] = sample_counts(profile)
    return Side(profile, name, own, total, tree.own(counts), tree.total(counts), divisor)


def _rate(side: Side, own: bool) -> Floats:
    weight = side.own if own else side.total
    return weight / side.divisor if side.divisor else np.zeros_like(weight)


def _notes(before: Profile, after: Profile, options: DiffOptions, counted: bool) -> list[str]:
    shared = [note for note in before.info.notes if note in after.info.notes]
    notes = [f"Both: {note}" for note in shared]
    notes += [f"{options.name_a}: {note}" for note in before.info.notes if note not in shared]
    notes += [f"{options.name_b}: {note}" for note in after.info.notes if note not in shared]
    for what, a, b in (
        ("stacks whose leaf has no name", before.unknown_share, after.unknown_share),
        ("truncated stacks", _truncated(before), _truncated(after)),
    ):
        if abs(a - b) >= 0.01:
            notes.append(
                f"The share of {what} moved from {a:.1%} to {b:.1%}: part of this diff is about symbols and stacks,"
                " not about code."
            )
    events = (before.info.event, after.info.event)
    if all(events) and events[0] != events[1]:
        notes.append(f"The events differ: {events[0]} and {events[1]}.")
    if isinstance(options.judge, NothingKnown):
        notes.append(str(options.judge))
    elif not counted:
        notes.append("One source gives weights without samples: nothing here says how certain a change is.")
    return notes


def _truncated(profile: Profile) -> float:
    return profile.info.truncated / profile.count if profile.count else 0.0
