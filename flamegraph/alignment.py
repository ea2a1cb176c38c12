"""Brings two profiles to what both know before they are compared: folded text has lost what pprof still has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.foldedtext import escape
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.matching import clean_name
from flamegraph.profile import Profile, Stacks

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_NUMBERS = re.compile(r"-(?:\d+|\?)(?:/(?:\d+|\?))?\Z")
_NOBODY = Thread(-1, -1, "")
# Share of a profile's weight that has to begin with the name of one of the other's threads.
_ENOUGH = 0.5


def aligned(before: Profile, after: Profile, name_a: str, name_b: str) -> tuple[Profile, Profile, list[str]]:
    """Both with threads and kinds of code that can be matched, and sentences on what was done to that end.

    Rows of samples stay as many as they were, in their order.
    """
    notes: list[str] = []
    after, before = _threads(after, before, name_b, name_a, notes)
    before, after = _threads(before, after, name_a, name_b, notes)
    after, before = _kinds(after, before, name_b, name_a, notes)
    before, after = _kinds(before, after, name_a, name_b, notes)
    return before, after, notes


# ---- Threads ----


def _threads(poor: Profile, rich: Profile, poor_name: str, rich_name: str, notes: list[str]) -> tuple[Profile, Profile]:
    """Where only `rich` names its threads."""
    if not len(poor.samples) or _has_names(poor) or not _has_names(rich):
        return poor, rich
    known = {_written(thread.comm): thread.comm for thread in rich.threads if thread.comm}
    first = _first_frames(poor)
    comms = [_comm(frame.name, known) for frame in poor.frames]
    fits = np.array([*(comm in known.values() for comm in comms), False], bool)[first[poor.samples.stack]]
    if poor.samples.weight[fits].sum() < _ENOUGH * poor.total:
        notes.append(
            f"{rich_name}: threads are left out, since {poor_name} does not say which thread its stacks are of."
        )
        return poor, replace(rich, threads=[_NOBODY] * len(rich.threads))
    notes.append(
        f"{poor_name} does not say which thread its stacks are of: the first element of each is taken for it, since the"
        f" names of {rich_name}'s threads stand there."
    )
    return _lifted(poor, first, comms), rich


def _has_names(profile: Profile) -> bool:
    return any(profile.threads[number].comm for number in np.unique(profile.samples.thread).tolist())


def _written(comm: str) -> str:
    """A thread's name as folded text has it."""
    return escape(comm).replace(" ", "_")


def _comm(name: str, known: dict[str, str]) -> str:
    """The thread that an element stands for: `nginx`, `nginx-2512` or `nginx-2512/2513`."""
    written = _written(name)
    return known.get(written) or known.get(_NUMBERS.sub("", written)) or name


def _first_frames(profile: Profile) -> Ints:
    """Number of each stack's first frame; -1 for an empty stack."""
    stacks = profile.stacks
    first = np.full(len(stacks), -1, np.int64)
    filled = np.flatnonzero(stacks.depth)
    first[filled] = stacks.frame[stacks.start[:-1][filled]]
    return first


def _lifted(profile: Profile, first: Ints, comms: Sequence[str]) -> Profile:
    """Threads by the first frame, which no longer stands in the stack."""
    stacks, samples = profile.stacks, profile.samples
    filled = stacks.depth > 0
    stays = np.ones(len(stacks.frame), bool)
    stays[stacks.start[:-1][filled]] = False
    start = np.concatenate(([0], np.cumsum(stacks.depth - filled)))
    threads = [*(Thread(-1, -1, comm) for comm in comms), _NOBODY]
    return replace(
        profile,
        stacks=Stacks(start, stacks.frame[stays]),
        threads=threads,
        samples=replace(samples, thread=first[samples.stack] % len(threads)),
    )


# ---- Kinds of code ----


def _kinds(poor: Profile, rich: Profile, poor_name: str, rich_name: str, notes: list[str]) -> tuple[Profile, Profile]:
    """Where only `rich` says which functions are the kernel's."""
    if any(frame.module or frame.kind is Kind.KERNEL for frame in poor.frames):
        return poor, rich
    kernel = {_plain(frame.name) for frame in rich.frames if frame.kind is Kind.KERNEL}
    if not kernel or not poor.frames:
        return poor, rich
    twice = kernel & {_plain(frame.name) for frame in rich.frames if frame.kind is not Kind.KERNEL}
    note = f"{poor_name} does not say which functions are the kernel's: they are known by their names in {rich_name}."
    if twice:
        note += f" Of the kernel and of programs alike, and one here: {_some(sorted(twice))}."
    notes.append(note)
    modules = {_plain(frame.name): frame.module for frame in rich.frames if frame.kind is Kind.KERNEL}
    named = [
        frame._replace(kind=Kind.KERNEL, module=modules[_plain(frame.name)]) if _plain(frame.name) in kernel else frame
        for frame in poor.frames
    ]
    matched = [_matching(frame, twice) for frame in rich.frames]
    return replace(poor, frames=named), replace(rich, frames=matched)


def _matching(frame: Frame, twice: set[str]) -> Frame:
    frame = frame._replace(name=frame.name.replace(";", ":"))
    return frame._replace(kind=Kind.KERNEL) if _plain(frame.name) in twice else frame


def _plain(name: str) -> str:
    return clean_name(name.replace(";", ":"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
