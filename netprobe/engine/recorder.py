"""A recording from start to stop: compile and attach the probes, run the interval loop, collect the result."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from netprobe.engine.descriptors import unreadable
from netprobe.engine.options import RecordOptions
from netprobe.engine.privileges import require_tracing
from netprobe.engine.program import Cost, Program
from netprobe.engine.signals import Interruptible
from netprobe.engine.started_commands import StartedServer, WhileCommand
from netprobe.errors import NotPossibleHereError
from netprobe.probes.base import AttachPoint, Counted, FallbackChain, Probe, TracedThread

if TYPE_CHECKING:
    from netprobe.engine.counting import CounterReader
    from netprobe.engine.interval_loop import IntervalLoop, OnInterval
    from netprobe.engine.target import Target
    from netprobe.run.table import Table

_Started = TypeVar("_Started", bound=StartedServer)


@dataclass(frozen=True)
class Recording:
    """The counts of a recording, and its conditions."""

    counted: Counted
    started_at: float  # seconds since the epoch
    started_ns: int  # of the monotonic clock, as the times of threads
    seconds: float  # that were counted
    elapsed_seconds: float  # from start to stop
    attach_seconds: float
    stopped_by: str  # "duration", "target exited", "command exited" or the name of a signal
    attached: Sequence[str]
    dropped: Sequence[str]
    unavailable: Sequence[str]
    # Names of optional probes that the kernel refused.
    skipped: Collection[str]
    # Purpose of a fallback chain -> the attach mechanism that was used.
    mechanisms: Mapping[str, str]
    costs: Sequence[Cost]
    accounted_seconds: float
    peak_resident_kib: int
    server_exit: int | None
    command_exit: int | None


class Observer(Protocol):
    """Reads state that cannot be counted: when the probes are attached, and before they are detached."""

    probe: str
    """Name of the probe that it needs; empty: none."""

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The first snapshot. `suspended`: PID of the suspended server, which is not traced before its release."""

    def mark(self) -> None:
        """Called at start and stop of the counted time; in a duty-cycled recording, of each sampling window."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """A snapshot after the first interval: a load that starts or ends with the recording has connections then."""

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The last snapshot."""

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """Its tables of a Run."""


def all_observers(options: RecordOptions) -> list[Observer]:
    """The observers of `netprobe record`: one from each file observe_*.py."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("observe_*.py"))
    return [import_module(f"netprobe.engine.{name}").observer(options) for name in names]


class Recorder:
    """One recording."""

    def __init__(self, options: RecordOptions, probes: Sequence[Probe], observers: Sequence[Observer] = ()) -> None:
        self._options, self._probes, self._observers = options, probes, observers
        self._unavailable: list[str] = []
        self._skipped: set[str] = set()
        self._mechanisms: dict[str, str] = {}

    def run(
        self,
        on_attached: Callable[[float], None] = lambda seconds: None,
        on_interval: OnInterval = lambda counted: None,
        on_loaded: Callable[[str], None] = lambda origin: None,
    ) -> Recording:
        """Record. `on_attached` gets the seconds until the probes were attached, `on_interval` each interval,
        `on_loaded` where the program came from: the cache or the compiler, and why.

        Raises `NetprobeError` when the recording cannot start. A signal or the end of the target stops it early.
        """
        began = time.monotonic()
        require_tracing()
        with ExitStack() as stack:
            command, load = self._options.command, self._options.while_command
            server = _ended_with(stack, StartedServer(command)) if command else None
            companion = _ended_with(stack, WhileCommand(load)) if load else None
            signals = stack.enter_context(Interruptible(companion.forward if companion else None))
            program = Program(self._probes, self._options)
            stack.callback(program.close)
            # While the compiler runs, if the program is not in the cache.
            from netprobe.engine.counting import open_scratch
            from netprobe.engine.interval_loop import IntervalLoop
            from netprobe.engine.target import Target

            on_loaded(program.load())
            target = Target(program, self._options, server.pid if server else None)
            stack.callback(target.close)
            target.follow()
            readers = self._attach(program)
            for reader in readers.values():
                stack.callback(reader.close)
            self._observers = [observer for observer in self._observers if observer.probe not in self._skipped]
            scratch = [open_scratch(program, memory) for probe in self._probes for memory in probe.scratch()]
            if self._observers:
                self._unavailable += unreadable({thread.pid for thread in target.describe_all() if thread.pid})
            for observer in self._observers:
                observer.begin(program, target.describe_all(), server.pid if server else None)
            if self._options.duty_cycled:
                program.rest()
            marks = [observer.mark for observer in self._observers]
            loop = IntervalLoop(
                self._options,
                target,
                readers,
                signals,
                server,
                on_interval,
                program.with_duty_cycled,
                program.sampling_window,
                scratch,
                marks,
                companion,
                lambda: self._observe_load(program, target),
            )
            stack.callback(loop.store.close)
            # Counting starts before the message that it has started: a load that waits for the message is counted from
            # its first event on.
            loop.begin()
            attach_seconds = time.monotonic() - began
            if signals.interrupted:
                raise KeyboardInterrupt
            if server:
                target.trace_suspended()
                server.release()
            on_attached(attach_seconds)
            if companion:
                companion.release()
            # Now, as the first read of the counters must not be late.
            import_module("numpy")
            stopped_by = loop.run()
            return self._collect(program, target, loop, stopped_by, attach_seconds)

    def _observe_load(self, program: Program, target: Target) -> None:
        if self._observers:
            threads = target.describe_all()
            for observer in self._observers:
                observer.under_load(program, threads)

    def _attach(self, program: Program) -> dict[str, CounterReader]:
        from netprobe.engine.counting import open_reader

        readers = {}
        for probe in self._probes:
            refused = [reason for point in probe.attach_points() if (reason := self._attach_point(program, point))]
            self._unavailable += refused
            if len(refused) == len(probe.attach_points()):
                if not probe.optional or len(self._probes) == 1:
                    raise NotPossibleHereError(
                        f"Nothing of the probe `{probe.name}` could be attached. " + " ".join(refused)
                    )
                self._skipped.add(probe.name)
                continue
            for counters in probe.counters():
                readers[counters.map] = open_reader(program, counters)
        self._probes = [probe for probe in self._probes if probe.name not in self._skipped]
        return readers

    def _attach_point(self, program: Program, point: AttachPoint | FallbackChain) -> str:
        """Attach; return the reason if that was not possible, else an empty string."""
        try:
            if isinstance(point, FallbackChain):
                self._mechanisms[point.purpose] = program.attach_fallback(point)
            else:
                program.attach(point)
        except NotPossibleHereError as error:
            if isinstance(point, FallbackChain) and point.optional:
                self._mechanisms[point.purpose] = "not on this kernel"
                return ""
            return error.message
        return ""

    def _collect(
        self, program: Program, target: Target, loop: IntervalLoop, stopped_by: str, attach_seconds: float
    ) -> Recording:
        attached, costs = program.attached(), program.costs()
        threads = target.describe_all()
        for observer in self._observers:
            observer.end(program, threads)
        program.detach()
        dropped = program.dropped_counts()
        return Recording(
            counted=Counted(threads, loop.store.read()),
            started_at=loop.started_at,
            started_ns=int(loop.start * 1e9),
            seconds=loop.seconds,
            elapsed_seconds=loop.elapsed_seconds,
            attach_seconds=attach_seconds,
            stopped_by=stopped_by,
            attached=attached,
            dropped=[*(text.format(count=count) for text, count in dropped.items() if count), *program.refused()],
            unavailable=self._unavailable,
            skipped=self._skipped,
            mechanisms=self._mechanisms,
            costs=costs,
            accounted_seconds=loop.accounted_seconds,
            peak_resident_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            server_exit=loop.server.exit_code if loop.server else None,
            command_exit=loop.companion.exit_code if loop.companion else None,
        )


def _ended_with(stack: ExitStack, started: _Started) -> _Started:
    stack.callback(started.end)
    return started
