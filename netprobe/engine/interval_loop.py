"""The clock of a recording: read all counters once per interval, until the duration is over or something stops it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netprobe.engine.bpf import run_time_statistics
from netprobe.engine.counting import CounterReader, ScratchCleaner, merged
from netprobe.engine.interval_store import IntervalStore, map_large_blocks, trim_heap
from netprobe.engine.machine import read_machine
from netprobe.engine.options import RecordOptions
from netprobe.engine.signals import Interruptible
from netprobe.engine.started_commands import StartedServer
from netprobe.engine.target import Target
from netprobe.probes.base import Counted, Interval

if TYPE_CHECKING:
    from netprobe.probes.base import Rows

# BPF run-time statistics cost two clock reads per event: they are enabled for this share of each interval. The
# duty-cycled programs are attached for the same share.
ACCOUNTED_SHARE = 0.05

# Servers that start a thread per connection use up thousands of slots per second.
_SLOT_CHECK_S, _FREQUENT_SLOT_CHECK_S = 0.05, 0.01

OnInterval = Callable[[Counted], None]


@dataclass
class IntervalLoop:
    """Waits and reads, from `begin` to the end of `run`.

    Afterwards, `store` has the intervals, `seconds` the time that was counted, `accounted_seconds` the part of it with
    run-time statistics, and `elapsed_seconds` the time from start to stop, which is longer in a duty-cycled recording.
    """

    options: RecordOptions
    target: Target
    readers: Mapping[str, CounterReader]
    signals: Interruptible
    server: StartedServer | None
    on_interval: OnInterval
    # Context in which the duty-cycled programs are attached.
    with_duty_cycled: Callable[[], contextlib.AbstractContextManager[None]]
    # Context in which a duty-cycled recording counts.
    sampling_window: Callable[[], contextlib.AbstractContextManager[None]]
    # Memory of the programs for each thread.
    scratch: Sequence[ScratchCleaner]
    # Called at start and stop of the counted time.
    marks: Sequence[Callable[[], None]] = ()
    # The command that the recording lasts as long as.
    companion: StartedServer | None = None
    # Called after the first interval.
    under_load: Callable[[], None] = lambda: None
    # Closed by the creator of the loop.
    store: IntervalStore = field(default_factory=IntervalStore)

    def begin(self) -> None:
        """Start counting: events that the first probes counted while the others were being attached are discarded."""
        map_large_blocks()
        trim_heap()
        self.accounted_seconds = 0.0
        self._partial: list[dict[str, Rows]] = []
        self._first = True
        self._slot_check_s = _SLOT_CHECK_S
        for reader in self.readers.values():
            reader.begin(self.target)
        if not self.options.duty_cycled:
            self._mark()
        self.start = time.monotonic()
        self.started_at = time.time()
        self._machine = read_machine()

    def run(self) -> str:
        """Record until something stops it; return what."""
        with contextlib.ExitStack() as stack:
            self._watched = self._watch(stack)
            record = self._record_window if self.options.duty_cycled else self._record_interval
            stopped_by = ""
            self._begins = self.start
            while not stopped_by:
                stopped_by = record()
            if not self.options.duty_cycled:
                self._mark()
        self.seconds = self.store.seconds
        self.elapsed_seconds = self._begins - self.start
        return stopped_by

    def _mark(self) -> None:
        for mark in self.marks:
            mark()

    def _watch(self, stack: contextlib.ExitStack) -> list[int]:
        """A descriptor for each specified or started process, readable when the process ends."""
        fds = []
        started = [process.pid for process in (self.server, self.companion) if process]
        for pid in (*self.options.pids, *started):
            with contextlib.suppress(ProcessLookupError):
                fds.append(os.pidfd_open(pid))
                stack.callback(os.close, fds[-1])
        return fds

    def _record_interval(self) -> str:
        """Count until the interval ends; return what stopped the recording, if anything."""
        ends, last = self._end_of_interval()
        reason = self._count_until(ends, self.options.interval_seconds)
        now = time.monotonic()
        self._take_interval(self._begins, now)
        self._begins = now
        return reason or ("duration" if last else "")

    def _record_window(self) -> str:
        """Count in a sampling window at the start of the interval; wait until the interval ends."""
        ends, last = self._end_of_interval()
        with self.sampling_window():
            for reader in self.readers.values():
                reader.open_window(self.target)
            self._partial.clear()
            opened, length = time.monotonic(), self.options.interval_seconds * self.options.counted_share
            self._machine = read_machine()
            self._mark()
            reason = self._count_until(min(ends, opened + length), length)
            self._mark()
            closed = time.monotonic()
        self._take_interval(opened, closed)
        reason = reason or self._wait_until(ends)
        self._begins = time.monotonic()
        return reason or ("duration" if last else "")

    def _end_of_interval(self) -> tuple[float, bool]:
        """When the interval ends, and whether it is the last one."""
        interval, seconds = self.options.interval_seconds, self.options.max_seconds
        ends = self._begins + interval
        if seconds is not None and ends > self.start + seconds - interval / 1000:
            return self.start + seconds, True
        return ends, False

    def _count_until(self, ends: float, length: float) -> str:
        with self.with_duty_cycled(), run_time_statistics() as accounted:
            # Measured from here: attaching the duty-cycled programs may take longer than the time they stay attached.
            since = time.monotonic()
            reason = self._wait_until(min(ends, since + length * ACCOUNTED_SHARE))
            self.accounted_seconds += (time.monotonic() - since) * accounted
        return reason or self._wait_until(ends)

    def _wait_until(self, deadline: float) -> str:
        while True:
            ready = self.signals.wait(min(deadline - time.monotonic(), self._slot_check_s), self._watched)
            if self.signals.interrupted:
                return self.signals.interrupted.name
            # The descriptor of an ended process stays readable.
            self._watched = [fd for fd in self._watched if fd not in ready]
            if self._target_ended():
                return "target exited"
            if self.companion and self.companion.ended():
                return "command exited"
            if time.monotonic() >= deadline:
                return ""
            self._slot_check_s = _SLOT_CHECK_S
            if self.target.slots_run_short():
                # The slots of threads that end now can be reused after the next check.
                self._slot_check_s = _FREQUENT_SLOT_CHECK_S
                self._partial.append(self._read_counters())
                self._reuse_slots()

    def _target_ended(self) -> bool:
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
            self._counts_of_interval(),
            machine - self._machine,
        )
        self._machine = machine
        self.store.add(interval)
        if self._first:
            self._first = False
            self.under_load()
        self.on_interval(Counted(self.target.known(), [interval]))
        self._reuse_slots()

    def _counts_of_interval(self) -> dict[str, Rows]:
        parts = [*self._partial, self._read_counters()]
        self._partial = []
        return parts[0] if len(parts) == 1 else {name: merged([part[name] for part in parts]) for name in self.readers}

    def _reuse_slots(self) -> None:
        """Make the slots of ended threads available to new ones."""
        ended = self.target.release_ended()
        for reader in self.readers.values():
            reader.reset(ended)
        for memory in self.scratch:
            memory.reset(ended)
        self.target.reuse(ended)
