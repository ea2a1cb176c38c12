"""The recording's clock: reads all counters once an interval, until time, target or user say stop."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netprobe.engine.counting import Reader, ScratchCleaner
from netprobe.engine.freed_memory import give_back, keep_large_apart
from netprobe.engine.machine import read_machine
from netprobe.engine.options import RecordOptions
from netprobe.engine.program import kernel_accounting
from netprobe.engine.server import HeldServer
from netprobe.engine.signals import Interruptible
from netprobe.engine.spill_file import IntervalStore
from netprobe.engine.target import Target
from netprobe.probes.base import Counted, Interval

if TYPE_CHECKING:
    from netprobe.probes.base import Rows

# The kernel's account of BPF run times costs two clock reads an event: it is on for this share of each interval. So are
# the duty-cycled programs.
ACCOUNTED_SHARE = 0.05

OnBlock = Callable[[Counted], None]


@dataclass
class IntervalLoop:
    """Waits and reads, from `begin` to the end of `run`.

    Then its store has the intervals, and it has the seconds that were counted, for how many of them run times were kept,
    and the seconds from beginning to end: more than were counted, where the recording is one in windows.
    """

    options: RecordOptions
    target: Target
    readers: Mapping[str, Reader]
    signals: Interruptible
    server: HeldServer | None
    on_interval: OnBlock
    # Inside it, duty-cycled programs see what happens.
    with_duty_cycled: Callable[[], contextlib.AbstractContextManager[None]]
    # Inside it, everything is counted; of a recording in windows.
    window: Callable[[], contextlib.AbstractContextManager[None]]
    # What programs keep by thread between two events.
    scratch: Sequence[ScratchCleaner]
    # Called at both edges of the window.
    marks: Sequence[Callable[[], None]] = ()
    # The command that the recording lasts as long as.
    companion: HeldServer | None = None
    # What was counted; to be closed by whoever made the loop.
    store: IntervalStore = field(default_factory=IntervalStore)

    def begin(self) -> None:
        """Open the window: what the probes counted while they were being attached one after another is left out."""
        keep_large_apart()
        give_back()
        self.accounted_seconds = 0.0
        self._read_counters()
        if not self.options.in_windows:
            self._mark()
        self.start = time.monotonic()
        self.started_at = time.time()
        self._machine = read_machine()

    def run(self) -> str:
        """Record until the end; returns what ended it, in words."""
        with contextlib.ExitStack() as stack:
            self._watched = self._watch(stack)
            record = self._record_window if self.options.in_windows else self._record_interval
            stopped_by = ""
            self._begins = self.start
            while not stopped_by:
                stopped_by = record()
            if not self.options.in_windows:
                self._mark()
        self.seconds = self.store.seconds
        self.elapsed_seconds = self._begins - self.start
        return stopped_by

    def _mark(self) -> None:
        for mark in self.marks:
            mark()

    def _watch(self, stack: contextlib.ExitStack) -> list[int]:
        """A descriptor for each process named by the user, readable when it ends."""
        fds = []
        started = [one.pid for one in (self.server, self.companion) if one]
        for pid in (*self.options.pids, *started):
            with contextlib.suppress(ProcessLookupError):
                fds.append(os.pidfd_open(pid))
                stack.callback(os.close, fds[-1])
        return fds

    def _record_interval(self) -> str:
        """Count to the interval's end; returns why it is the last one, or nothing."""
        ends, last = self._end_of_interval()
        reason = self._count_until(ends, self.options.interval_seconds)
        now = time.monotonic()
        self._take_interval(self._begins, now)
        self._begins = now
        return reason or ("time" if last else "")

    def _record_window(self) -> str:
        """Count for the window at the interval's beginning, and look away to the interval's end; returns the same."""
        ends, last = self._end_of_interval()
        with self.window():
            opened, length = time.monotonic(), self.options.interval_seconds * self.options.counted_share
            self._machine = read_machine()
            self._mark()
            reason = self._count_until(min(ends, opened + length), length)
            self._mark()
            closed = time.monotonic()
        self._take_interval(opened, closed)
        reason = reason or self._wait_until(ends)
        self._begins = time.monotonic()
        return reason or ("time" if last else "")

    def _end_of_interval(self) -> tuple[float, bool]:
        """When it ends, and whether it is the last one that was asked for."""
        interval = self.options.interval_seconds
        ends = self._begins + interval
        if self.options.seconds is not None and ends > self.start + self.options.seconds - interval / 1000:
            return self.start + self.options.seconds, True
        return ends, False

    def _count_until(self, ends: float, length: float) -> str:
        with self.with_duty_cycled(), kernel_accounting() as accounted:
            # Not from the beginning: to attach the duty-cycled ones may take longer than their time.
            since = time.monotonic()
            reason = self._wait_until(min(ends, since + length * ACCOUNTED_SHARE))
            self.accounted_seconds += (time.monotonic() - since) * accounted
        return reason or self._wait_until(ends)

    def _wait_until(self, deadline: float) -> str:
        while True:
            ready = self.signals.wait(deadline - time.monotonic(), self._watched)
            if self.signals.interrupted:
                return self.signals.interrupted.name
            # A process that ended stays readable: once is enough to know.
            self._watched = [fd for fd in self._watched if fd not in ready]
            if self._target_gone():
                return "target exited"
            if self.companion and self.companion.ended():
                return "command exited"
            if time.monotonic() >= deadline:
                return ""

    def _target_gone(self) -> bool:
        if self.options.whole_machine or self.options.comm:
            return False
        if self.server:
            self.server.ended()
        return not self.target.alive()

    def _read_counters(self) -> dict[str, Rows]:
        return {name: reader.added(self.target) for name, reader in self.readers.items()}

    def _take_interval(self, begins: float, ends: float) -> None:
        machine = read_machine()
        interval = Interval(
            begins - self.start,
            ends - begins,
            self._read_counters(),
            machine.switches - self._machine.switches,
            machine.forks - self._machine.forks,
        )
        self._machine = machine
        self.store.add(interval)
        self.on_interval(Counted(self.target.known(), [interval]))
        ended = self.target.release_ended()
        for reader in self.readers.values():
            reader.reset(ended)
        for kept in self.scratch:
            kept.reset(ended)
        self.target.reuse(ended)
