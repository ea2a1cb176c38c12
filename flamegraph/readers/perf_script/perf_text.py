"""Sums the samples of `perf script` text.

Samples are separated by blank lines. The bytes of each stack and the parts of each first line are parsed once and
cached, so that a repeated sample costs a few look-ups. Other text (comments, samples without blank lines between
them) is read line by line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import isnan, nan
from typing import NamedTuple

from flamegraph.builder import Builder
from flamegraph.frames import Thread
from flamegraph.profile import Info, Profile
from flamegraph.readers import ReadOptions
from flamegraph.readers.perf_script.perf_lines import AfterTime, Events, frame_in_header, parse_header
from flamegraph.readers.perf_script.perf_stacks import LONGEST_LINE, NotAFrameError, StackNumbers
from flamegraph.readers.perf_script.timed_rows import TimedRows
from flamegraph.readers.source import Salvager

_HANDED_OVER = 1 << 20
_DEEPEST = 1 << 20
_REMEMBERED = 1 << 16
_PLAIN_TIME = re.compile(rb"\d+\.\d+")
_NOBODY = Thread(-1, -1, "")
# Lines of samples without call chains that are read as one batch.
_FEW_LINES, _MANY_LINES = 16, 1 << 13
# In such a line: the address after the event, and the offset in the function (see `without_offset`).
_ADDRESS = re.compile(rb":(?<=[^\d\s]:) +[0-9a-f]{1,16} (?! )")
_OFFSET = re.compile(rb"\+0x[0-9a-f]+ (?=\()")


class BrokenTextError(Exception):
    """The text cannot be read; the message gives the line."""


class PartialText(NamedTuple):
    """The samples of one part of the text; `first_skipped` counts lines from the beginning of the part."""

    profile: Profile
    rows: TimedRows
    events: Events
    skipped: int
    first_skipped: int
    unfinished: bool


class _Sample(NamedTuple):
    thread: int
    stacks: StackNumbers
    weight: float
    seconds: float
    frame: bytes
    """The frame in the first line, where no call chains were recorded."""
    lost: int = 0


def _only_frames(body: bytes) -> bool:
    return not body or (body.startswith(b"\t") and body.count(b"\n") == body.count(b"\n\t"))


class PerfText:
    """Sums samples; caches everything that is likely to be repeated."""

    def __init__(self, options: ReadOptions) -> None:
        self._builder = Builder()
        self._rows = TimedRows()
        self._events = Events(options.event)
        self._native = StackNumbers(self._builder, java=False, addresses=options.addresses)
        self._java = StackNumbers(self._builder, java=True, addresses=options.addresses)
        self._java_rule = not options.java_only_by_name
        self._who: dict[bytes, tuple[int, StackNumbers]] = {}
        self._after = AfterTime()
        self._untimed: dict[bytes, _Sample] = {}
        self._open: _Sample | None = None
        self._body: list[bytes] = []
        self._columns: tuple[list[int], list[int], list[float], list[float]] = ([], [], [], [])
        self._before = 0
        self._pieces: list[bytes] = []
        self._index = self._line = 0
        self._rest = b""
        self._line_ends = 0
        self._unfinished = False
        self._lost = self._skipped = self._first_skipped = 0

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the text. Raises `BrokenTextError`."""
        self._line_ends += chunk.count(b"\n")
        pieces = (self._rest + chunk).split(b"\n\n")
        rest, tail = pieces.pop(), b""
        if len(rest) > _HANDED_OVER:
            # A long text without a blank line: the complete lines are read now.
            whole, end, rest = rest.rpartition(b"\n")
            tail = whole + end
            if len(rest) > LONGEST_LINE:
                tail, rest = tail + rest, b""
        self._rest = rest
        self._add(pieces, tail)

    def _add(self, pieces: list[bytes], tail: bytes) -> None:
        """Add samples that end in a blank line, and the lines of a sample that continues."""
        self._pieces = pieces
        first = 0
        if self._open and pieces:
            first = 1
            self._by_line(pieces[0], 0)
        self._by_sample(pieces, first)
        self._index = len(pieces)
        if tail:
            self._by_lines(tail.removesuffix(b"\n").split(b"\n"))
        behind = self._rest.count(b"\n")
        self._before += self._line_ends - behind
        self._line_ends = behind
        self._rows.extend(*self._columns)
        self._columns = ([], [], [], [])

    def reset(self) -> None:
        """Drop the samples and keep the caches: for the reader of a later part."""
        self._rows = self._rows.without_rows()
        self._open, self._body, self._rest = None, [], b""
        self._before = self._line_ends = self._lost = self._skipped = self._first_skipped = 0

    def _by_sample(self, pieces: list[bytes], first: int) -> None:
        """The common layout, which determines the speed: `comm pid/tid [cpu] time: period event:` and call chains."""
        who_of, is_read = self._who, self._events.read
        stacks, threads, seconds, weights = self._columns
        for index in range(first, len(pieces)):
            head, _, body = pieces[index].partition(b"\n")
            try:
                who, when, period, event = head.rsplit(None, 3)
                thread, numbers = who_of[who]
                if not is_read[event]:
                    if _only_frames(body):
                        continue
                    raise NotAFrameError
                time = float(when[:-1])
                weight = int(period) or 1
                stack = numbers[body]
            except (KeyError, ValueError, NotAFrameError):
                self._other(head, body, index)
                continue
            stacks.append(stack)
            threads.append(thread)
            seconds.append(time)
            weights.append(weight)

    def _other(self, head: bytes, body: bytes, index: int) -> None:
        """Another layout of the first line; anything but a single sample is read line by line."""
        sample = self._sample(head) if head and not head.startswith((b"\t", b"#")) else None
        try:
            if sample and (sample.weight >= 0 or _only_frames(body)):
                self._take(sample, body or sample.frame)
                return
        except NotAFrameError:
            pass
        self._by_line(self._pieces[index], index)

    def _take(self, sample: _Sample, body: bytes) -> None:
        if sample.weight < 0:
            self._lost += sample.lost
            return
        stack = sample.stacks[body]
        stacks, threads, seconds, weights = self._columns
        stacks.append(stack)
        threads.append(sample.thread)
        seconds.append(sample.seconds)
        weights.append(sample.weight)

    def _by_line(self, piece: bytes, index: int) -> None:
        self._index = index
        self._by_lines(piece.split(b"\n"))
        self._close()

    def _by_lines(self, lines: list[bytes]) -> None:
        index = 0
        while index < len(lines):
            self._line, line = index, lines[index]
            index += 1
            if line.startswith(b"\t"):
                self._frame(line)
            elif not line or line.isspace():
                self._close()
            elif not line.startswith(b"#"):
                sample = self._sample(line)
                if sample is None:
                    self._frame(line)
                else:
                    self._close()
                    self._open = sample
                    if sample.frame:
                        index = self._by_leaf(lines, index)

    def _by_leaf(self, lines: list[bytes], index: int) -> int:
        """Read samples without call chains, one per line, up to a line that is not cached; returns its index."""
        size = _FEW_LINES
        while batch := lines[index : index + size]:
            index += (done := self._leaves(batch))
            if done < len(batch):
                break
            size = min(2 * size, _MANY_LINES)
        return index

    def _leaves(self, lines: list[bytes]) -> int:
        """The number of these lines that were added. The last sample stays open, as frames may follow."""
        who_of, leaf_of = self._who, self._after.leaves
        stacks, threads, seconds, weights = self._columns
        opened = None
        done = 0
        for line in _OFFSET.sub(b" ", _ADDRESS.sub(b": 0 ", b"\n".join(lines))).split(b"\n"):
            before, _, after = line.partition(b": ")
            who, _, when = before.rpartition(b" ")
            period, _, event_and_frame = after.lstrip().partition(b" ")
            try:
                frame = leaf_of[event_and_frame]
                thread, numbers = who_of[who.rstrip()]
                sample = (numbers[frame], thread, float(when), int(period) or 1, numbers, frame)
            except (KeyError, ValueError, NotAFrameError):
                break
            if opened is None:
                self._close()
            else:
                stacks.append(opened[0])
                threads.append(opened[1])
                seconds.append(opened[2])
                weights.append(opened[3])
            opened = sample
            done += 1
        if opened:
            _, thread, time, weight, numbers, frame = opened
            self._open = _Sample(thread, numbers, weight, time, frame)
        return done

    def _frame(self, line: bytes) -> None:
        sample = self._open
        if sample and sample.weight < 0:
            return
        numbers = sample.stacks if sample else self._native
        if not numbers.is_frame(line):
            self._skip(line)
            return
        if sample is None:
            weight = self._events.weight_without_header()
            self._open = _Sample(self._builder.thread(_NOBODY), numbers, weight, nan, b"")
        self._body.append(line)
        if len(self._body) > _DEEPEST:
            raise BrokenTextError(f"Line {self._number()}: a stack of more than {_DEEPEST} frames")

    def _close(self) -> None:
        if self._open:
            self._take(self._open, b"\n".join(self._body) or self._open.frame)
        self._open = None
        self._body = []

    def _sample(self, line: bytes) -> _Sample | None:
        """The sample that begins with this line; None for any other line."""
        before, _, after = line.partition(b": ")
        who, _, when = before.rpartition(b" ")
        try:
            weight, frame = self._after[after]
            thread, stacks = self._who[who.rstrip()]
            return _Sample(thread, stacks, weight, float(when), frame)
        except (KeyError, ValueError):
            return self._untimed.get(line) or self._new_sample(line)

    def _new_sample(self, line: bytes) -> _Sample | None:
        header = parse_header(line) if len(line) <= LONGEST_LINE else None
        if header is None:
            return None
        thread = self._builder.thread(header.thread)
        numbers = self._java if self._java_rule and header.thread.comm.startswith("java") else self._native
        weight = self._events.weight(header)
        frame = b" " + header.rest.strip() if frame_in_header(header.rest) else b""
        sample = _Sample(thread, numbers, weight, nan if header.seconds is None else header.seconds, frame, header.lost)
        if not header.record:
            self._remember(line, sample)
        return sample

    def _remember(self, line: bytes, sample: _Sample) -> None:
        if max(len(self._who), len(self._untimed)) > _REMEMBERED:
            self._who.clear()
            self._untimed.clear()
        if isnan(sample.seconds):
            self._untimed[line] = sample
            return
        before, _, after = line.partition(b": ")
        who, _, when = before.rpartition(b" ")
        if _PLAIN_TIME.fullmatch(when) and float(when) == sample.seconds:
            self._who[who.rstrip()] = (sample.thread, sample.stacks)
            self._after.learn(after, sample.weight, sample.frame)

    def _skip(self, line: bytes) -> None:
        if len(line) > LONGEST_LINE:
            raise BrokenTextError(f"Line {self._number()} is longer than {LONGEST_LINE} bytes")
        if b"\0" in line:
            raise BrokenTextError(f"Line {self._number()} is not text: it contains zero bytes")
        self._first_skipped = self._first_skipped or self._number()
        self._skipped += 1

    def _number(self) -> int:
        """The number of the current line, from 1."""
        whole = self._pieces[: self._index]
        return self._before + sum(piece.count(b"\n") + 2 for piece in whole) + self._line + 1

    def end(self) -> None:
        """End of the text. Raises `BrokenTextError` where it ends inside a line."""
        rest, line = self._rest, self._before + self._line_ends + 1
        self._rest = b""
        self._add([], rest)
        last = rest.rpartition(b"\n")[2]
        whole = not last or last.endswith((b")", b":", b" ", b"\r")) or last.startswith(b"#")
        if not whole and (self._open is None or self._native.modules or self._java.modules):
            self._open = None
            raise BrokenTextError(f"Line {line} is truncated")
        # As in FlameGraph, only a blank line ends a stack.
        self._unfinished = bool(self._body)
        if not self._unfinished and (self._open is None or self._open.frame or not self._native.modules):
            self._close()

    def partial(self) -> PartialText:
        """The samples read so far, for `absorb` of the other reader."""
        self._rows.extend(*self._columns)
        profile = self._builder.profile(Info(lost=self._lost))
        return PartialText(profile, self._rows, self._events, self._skipped, self._first_skipped, self._unfinished)

    def absorb(self, part: PartialText) -> bool:
        """Add the samples of the rest of the text; False where the two parts do not fit together."""
        if not (self._events.fits(part.events) and self._rows.fits(part.rows)):
            return False
        stacks, threads = self._builder.numbers_of(part.profile)
        self._rows.absorb(part.rows, stacks, threads)
        self._events.absorb(part.events)
        self._lost += part.profile.info.lost
        if part.skipped and not self._skipped:
            self._first_skipped = self._before + part.first_skipped
        self._skipped += part.skipped
        self._unfinished = part.unfinished
        return True

    def profile(self, name: str, salvager: Salvager) -> Profile:
        """The profile of the text."""
        self._rows.extend(*self._columns)
        self._events.check(name)
        samples = self._rows.samples()
        if not len(samples):
            salvager.broken("It contains no sample")
        info = Info(
            event=self._events.chosen,
            unit=self._events.unit,
            seconds=self._rows.seconds,
            interval_s=self._rows.interval_s,
            intervals=self._rows.intervals,
            lost=self._lost,
            notes=(*salvager.notes, *self._notes()),
            other_events=self._events.others,
        )
        return replace(self._builder.profile(info), samples=samples)

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._unfinished:
            notes.append("No blank line follows the last sample: it may be truncated, and was skipped.")
        if self._skipped:
            first = self._first_skipped
            notes.append(f"{self._skipped} lines could not be parsed and were skipped; the first is line {first}.")
        return tuple(notes)
