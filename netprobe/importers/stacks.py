"""Profiles that the flamegraph library reads (perf.data, perf script text, folded stacks, pprof) as reports."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from flamegraph.readers import ReadOptions, input_formats
from flamegraph.readers.source import HEAD, InputSource
from netprobe.importers.report import Contents, Report

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import InputFormat

_FOLDED = "folded stacks"
_STACK = re.compile(rb"[^;\s][^;]*(?:;[^;]+)+ \d+(?:\.\d+)?\s*")
# Functions in which a thread leaves its CPU: if most stacks end in one of them, the numbers are waiting times.
_WAITS = re.compile(r"(_{0,2}schedule|finish_task_switch.*|schedule_timeout|io_schedule|preempt_schedule.*)(_\[k\])?$")
_SAMPLES = "the numbers of the folded stacks are assumed to be samples"
_TIMES = "the folded stacks end where threads wait: their numbers are assumed to be times"
_NO_SAMPLES = "the numbers of the folded stacks are not counts of samples"


def format_of(head: bytes, *, text: bool) -> InputFormat | None:
    """The text format, or the binary format, of a file with these first bytes."""
    for input_format in input_formats():
        if input_format.IS_TEXT is text and input_format.recognises(head[:HEAD]) and _is_certain(input_format, head):
            return input_format
    return None


def _is_certain(input_format: InputFormat, head: bytes) -> bool:
    """The reader of folded stacks accepts any line that ends in a number: require stacks in most lines."""
    if input_format.FORMAT != _FOLDED:
        return True
    lines = head.split(b"\n")
    if len(head) > HEAD:
        # The last line may be truncated.
        lines.pop()
    lines = [line for line in lines if line.strip() and not line.startswith(b"#")]
    stacks = sum(bool(_STACK.fullmatch(line)) for line in lines)
    return stacks > 0 and 2 * stacks >= len(lines)


def read(input_format: InputFormat, source: InputSource, name: str) -> Report | None:
    """A profile as a report; None if it has no samples. A corrupt part is skipped, with a note."""
    profile = input_format.read(source, ReadOptions(salvage=True))
    if not len(profile.samples) or not profile.total:
        return None
    notes = list(profile.info.notes)
    if not profile.count:
        profile, note = _with_counts(profile)
        notes.append(note)
    contents = Contents(
        (),
        len(profile.stacks),
        _durations(profile),
        tuple(note.rstrip(".") for note in notes),
        ("target of the recording",),
        profile=profile,
    )
    return Report(input_format.FORMAT, "stacks", name, 0, 0, contents)


def _with_counts(profile: Profile) -> tuple[Profile, str]:
    """Treat the whole numbers of folded stacks as samples, unless most stacks end in a wait; and a note."""
    weight = profile.samples.weight
    waits = {number for number, frame in enumerate(profile.frames) if _WAITS.match(frame.name)}
    stacks = (profile.stacks[number] for number in range(len(profile.stacks)))
    ends_in_wait = [len(stack) > 0 and int(stack[-1]) in waits for stack in stacks]
    rows = zip(profile.samples.stack.tolist(), weight.tolist(), strict=True)
    waiting = sum(row_weight for number, row_weight in rows if ends_in_wait[number])
    if waiting * 2 > profile.total or (weight % 1).any():
        return profile, _TIMES if waiting else _NO_SAMPLES
    return replace(profile, samples=replace(profile.samples, count=weight.astype("int64"))), _SAMPLES


def _durations(profile: Profile) -> tuple[float, ...] | None:
    info = profile.info
    if not info.seconds:
        return None
    count = max(info.intervals, int(profile.samples.interval.max()) + 1)
    if not info.interval_s or count == 1:
        return (info.seconds,)
    last = min(max(info.seconds - info.interval_s * (count - 1), info.interval_s / 100), info.interval_s)
    return (*(info.interval_s for _ in range(count - 1)), last)
