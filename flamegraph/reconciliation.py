"""Metadata reconciliation: before a comparison, two profiles get the same knowledge of threads and kinds of code.

Folded text has neither, pprof has both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.foldedtext import escape
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.names import clean_name
from flamegraph.profile import Profile, Stacks

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_NUMBERS = re.compile(r"-(?:\d+|\?)(?:/(?:\d+|\?))?\Z")
_UNKNOWN_THREAD = Thread(-1, -1, "")
# Share of the weight of a profile whose stacks have to begin with the name of a thread of the other profile.
_MIN_SHARE = 0.5


def reconciled(before: Profile, after: Profile, name_a: str, name_b: str) -> tuple[Profile, Profile, list[str]]:
    """Both profiles with threads and kinds of code that can be matched, and notes on the changes.

    Number and order of the rows of samples stay the same.
    """
    notes: list[str] = []
    after, before = _threads(after, before, name_b, name_a, notes)
    before, after = _threads(before, after, name_a, name_b, notes)
    after, before = _kinds(after, before, name_b, name_a, notes)
    before, after = _kinds(before, after, name_a, name_b, notes)
    return before, after, notes


# ---- Threads ----


def _threads(poor: Profile, rich: Profile, poor_name: str, rich_name: str, notes: list[str]) -> tuple[Profile, Profile]:
    """Reconcile threads where only `rich` has names of threads."""
    if not len(poor.samples) or _has_names(poor) or not _has_names(rich):
        return poor, rich
    known = {_folded_comm(thread.comm): thread.comm for thread in rich.threads if thread.comm}
    first = _first_frames(poor)
    comms = [_comm(frame.name, known) for frame in poor.frames]
    fits = np.array([*(comm in known.values() for comm in comms), False], bool)[first[poor.samples.stack]]
    if poor.samples.weight[fits].sum() < _MIN_SHARE * poor.total:
        notes.append(f"{rich_name}: threads are ignored, since {poor_name} has no thread names.")
        return poor, replace(rich, threads=[_UNKNOWN_THREAD] * len(rich.threads))
    notes.append(
        f"{poor_name} has no thread names: the first frame of each stack is read as its thread, since it has the names"
        f" of the threads of {rich_name}."
    )
    return _threads_from_frames(poor, first, comms), rich


def _has_names(profile: Profile) -> bool:
    return any(profile.threads[number].comm for number in np.unique(profile.samples.thread).tolist())


def _folded_comm(comm: str) -> str:
    """The name of a thread as in folded text."""
    return escape(comm).replace(" ", "_")


def _comm(name: str, known: dict[str, str]) -> str:
    """The thread that an element names: `nginx`, `nginx-2512` or `nginx-2512/2513`."""
    folded = _folded_comm(name)
    return known.get(folded) or known.get(_NUMBERS.sub("", folded)) or name


def _first_frames(profile: Profile) -> Ints:
    """Index of the first frame of each stack; -1 for an empty stack."""
    stacks = profile.stacks
    first = np.full(len(stacks), -1, np.int64)
    filled = np.flatnonzero(stacks.depth)
    first[filled] = stacks.frame[stacks.start[:-1][filled]]
    return first


def _threads_from_frames(profile: Profile, first: Ints, comms: Sequence[str]) -> Profile:
    """The profile with threads in place of the first frames, which are removed from the stacks."""
    stacks, samples = profile.stacks, profile.samples
    filled = stacks.depth > 0
    kept = np.ones(len(stacks.frame), bool)
    kept[stacks.start[:-1][filled]] = False
    start = np.concatenate(([0], np.cumsum(stacks.depth - filled)))
    threads = [*(Thread(-1, -1, comm) for comm in comms), _UNKNOWN_THREAD]
    return replace(
        profile,
        stacks=Stacks(start, stacks.frame[kept]),
        threads=threads,
        samples=replace(samples, thread=first[samples.stack] % len(threads)),
    )


# ---- Kinds of code ----


def _kinds(poor: Profile, rich: Profile, poor_name: str, rich_name: str, notes: list[str]) -> tuple[Profile, Profile]:
    """Reconcile kinds where only `rich` marks kernel functions."""
    if any(frame.module or frame.kind is Kind.KERNEL for frame in poor.frames):
        return poor, rich
    kernel = {_plain(frame.name) for frame in rich.frames if frame.kind is Kind.KERNEL}
    if not kernel or not poor.frames:
        return poor, rich
    ambiguous = kernel & {_plain(frame.name) for frame in rich.frames if frame.kind is not Kind.KERNEL}
    note = f"{poor_name} does not mark kernel functions: they are recognised by their names in {rich_name}."
    if ambiguous:
        note += f" Both in the kernel and in programs, merged here: {_some(sorted(ambiguous))}."
    notes.append(note)
    modules = {_plain(frame.name): frame.module for frame in rich.frames if frame.kind is Kind.KERNEL}
    named = [
        frame._replace(kind=Kind.KERNEL, module=modules[_plain(frame.name)]) if _plain(frame.name) in kernel else frame
        for frame in poor.frames
    ]
    matched = [_matching(frame, ambiguous) for frame in rich.frames]
    return replace(poor, frames=named), replace(rich, frames=matched)


def _matching(frame: Frame, ambiguous: set[str]) -> Frame:
    frame = frame._replace(name=frame.name.replace(";", ":"))
    return frame._replace(kind=Kind.KERNEL) if _plain(frame.name) in ambiguous else frame


def _plain(name: str) -> str:
    return clean_name(name.replace(";", ":"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
