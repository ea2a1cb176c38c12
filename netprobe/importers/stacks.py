"""Profiles of the flamegraph library: perf.data, perf script text, folded stacks, pprof."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from flamegraph.readers import folded, perf_script
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.sniff import Reader, all_readers
from flamegraph.readers.source import HEAD, Source
from netprobe.importers.report import Contents, Report

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from flamegraph.profile import Profile

FORMATS = ("folded stacks", "perf script text", "perf.data", "pprof")
_TEXTS = (perf_script.FORMAT, folded.FORMAT)
_STACK = re.compile(rb"[^;\s][^;]*(?:;[^;]+)+ \d+(?:\.\d+)?\s*")
# Where a thread leaves its CPU: with most stacks ending there, the numbers are times of waiting.
_WAITS = re.compile(r"(_{0,2}schedule|finish_task_switch.*|schedule_timeout|io_schedule|preempt_schedule.*)(_\[k\])?$")
_SAMPLES = "the numbers of the folded stacks are taken for samples"
_TIMES = "the folded stacks end where threads wait, so their numbers are taken for times"


def reader_of(head: bytes, *, text: bool) -> Reader | None:
    """The reader for a file that begins so: one of texts, or one of the binary formats."""
    for reader in all_readers():
        if (reader.FORMAT in _TEXTS) is text and reader.recognises(head[:HEAD]) and _is_sure(reader, head):
            return reader
    return None


def _is_sure(reader: Reader, head: bytes) -> bool:
    """Folded stacks are recognised by any number at a line's end: here all lines are to be stacks."""
    if reader.FORMAT != folded.FORMAT:
        return True
    whole = head.split(b"\n")
    if len(head) > HEAD:
        # The last one may be cut.
        whole.pop()
    whole = [line for line in whole if line.strip() and not line.startswith(b"#")]
    stacks = sum(bool(_STACK.fullmatch(line)) for line in whole)
    return stacks > 0 and 2 * stacks >= len(whole)


class _Again(io.RawIOBase):
    """A stream with what was read from it already before it."""

    def __init__(self, head: bytes, stream: io.BufferedReader) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer."""
        view = memoryview(buffer).cast("B")
        content, self._head = self._head[: len(view)], self._head[len(view) :]
        content = content or self._stream.read1(len(view))
        view[: len(content)] = content
        return len(content)


def again(head: bytes, stream: io.BufferedReader) -> io.BufferedReader:
    """The stream from its beginning."""
    return io.BufferedReader(cast(io.RawIOBase, _Again(head, stream)), 1 << 20)


def read(reader: Reader, source: Source, name: str) -> Report | None:
    """A profile as a report; None where nothing stands in it. What is corrupt is left, and said."""
    profile = reader.read(source, ReadOptions(salvage=True))
    if not len(profile.samples) or not profile.total:
        return None
    notes = list(profile.info.notes)
    if not profile.count:
        profile, note = _counted(profile)
        notes.append(note)
    contents = Contents(
        (),
        len(profile.stacks),
        _durations(profile),
        tuple(note.rstrip(".") for note in notes),
        ("who was recorded",),
        profile=profile,
    )
    return Report(reader.FORMAT, "stacks", name, 0, 0, contents)


def _counted(profile: Profile) -> tuple[Profile, str]:
    """Whole numbers of folded stacks are samples, unless the stacks are those of waits."""
    weight = profile.samples.weight
    waits = {number for number, frame in enumerate(profile.frames) if _WAITS.match(frame.name)}
    stacks = (profile.stacks[number] for number in range(len(profile.stacks)))
    ends = [len(stack) > 0 and int(stack[-1]) in waits for stack in stacks]
    rows = zip(profile.samples.stack.tolist(), weight.tolist(), strict=True)
    waiting = sum(heavy for number, heavy in rows if ends[number])
    if waiting * 2 > profile.total or (weight % 1).any():
        return profile, _TIMES if waiting else "the numbers of the folded stacks are no counts of samples"
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
