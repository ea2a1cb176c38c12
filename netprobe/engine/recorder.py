"""Records from beginning to end: compiles and attaches the probes, lets the intervals run, gathers what is known."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from netprobe.engine.descriptors import unreadable
from netprobe.engine.options import RecordOptions
from netprobe.engine.privileges import require_tracing
from netprobe.engine.program import Cost, Program
from netprobe.engine.program_source import ProgramOptions
from netprobe.engine.server import HeldServer
from netprobe.engine.signals import Interruptible
from netprobe.engine.while_command import WhileCommand
from netprobe.errors import NotPossibleHereError
from netprobe.probes.base import AttachPoint, Counted, FallbackChain, Probe, Thread

if TYPE_CHECKING:
    from netprobe.engine.counting import Reader
    from netprobe.engine.intervals import IntervalLoop, OnBlock
    from netprobe.engine.target import Target
    from netprobe.run.table import Table

_Held = TypeVar("_Held", bound=HeldServer)


@dataclass(frozen=True)
class Recording:
    """What a recording gave: counters, and all that must be known to trust them."""

    counted: Counted
    started_at: float  # seconds since the epoch
    started_ns: int  # of the monotonic clock, as the threads' times
    seconds: float  # that were counted
    elapsed_seconds: float  # from beginning to end
    attach_seconds: float
    stopped_by: str  # "time", "target exited", "command exited" or a signal's name
    attached: Sequence[str]
    dropped: Sequence[str]
    unavailable: Sequence[str]
    # Names of probes that the kernel refused, and without which there is a result.
    skipped: Collection[str]
    # What can be seen in several ways -> the way that was used.
    mechanisms: Mapping[str, str]
    costs: Sequence[Cost]
    accounted_seconds: float
    peak_resident_kib: int
    server_exit: int | None
    command_exit: int | None


class Observer(Protocol):
    """Looks at what cannot be counted, once when the probes are attached and once before they go."""

    probe: str
    """Name of the probe without which it has nothing to look at; empty where it needs none."""

    def begin(self, program: Program, threads: Sequence[Thread], held: int | None) -> None:
        """The first look. `held`: a process that is none of the traced yet, and will be once it is let go."""

    def mark(self) -> None:
        """Called at both edges of the time that is counted, as close to the counters as can be.

        Of a recording in windows: of each of them.
        """

    def end(self, program: Program, threads: Sequence[Thread]) -> None:
        """The last look."""

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """What was seen."""


class Recorder:
    """One recording."""

    def __init__(
        self,
        options: RecordOptions,
        probes: Sequence[Probe],
        observers: Sequence[Observer] = (),
        dispensable: Collection[str] = (),
    ) -> None:
        """`dispensable`: names of probes without which there is a result, should the kernel refuse them."""
        self._options, self._probes, self._observers, self._dispensable = options, probes, observers, dispensable
        self._unavailable: list[str] = []
        self._skipped: set[str] = set()
        self._mechanisms: dict[str, str] = {}

    def run(
        self,
        on_attached: Callable[[float], None] = lambda seconds: None,
        on_interval: OnBlock = lambda counted: None,
    ) -> Recording:
        """Record; `on_attached` is told the seconds it took, `on_interval` each interval as it ends.

        Raises `NetprobeError` when it cannot begin. A signal or the target's end ends it early.
        """
        began = time.monotonic()
        require_tracing()
        with ExitStack() as stack:
            command, load = self._options.command, self._options.while_command
            server = _held_within(stack, HeldServer(command)) if command else None
            companion = _held_within(stack, WhileCommand(load)) if load else None
            signals = stack.enter_context(Interruptible(companion.forward if companion else None))
            program = Program(self._probes, ProgramOptions.of(self._options))
            stack.callback(program.close)
            # NumPy takes as long to load as a third of the compilation, which goes on meanwhile.
            from netprobe.engine.counting import open_scratch
            from netprobe.engine.intervals import IntervalLoop
            from netprobe.engine.target import Target

            program.wait_until_compiled()
            target = Target(program, self._options, server.pid if server else None)
            stack.callback(target.close)
            target.follow()
            readers = self._attach(program)
            for reader in readers.values():
                stack.callback(reader.close)
            self._observers = [one for one in self._observers if one.probe not in self._skipped]
            scratch = [open_scratch(program, kept) for probe in self._probes for kept in probe.scratch()]
            if self._observers:
                self._unavailable += unreadable({thread.pid for thread in target.describe_all() if thread.pid})
            for observer in self._observers:
                observer.begin(program, target.describe_all(), server.pid if server else None)
            if self._options.in_windows:
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
                program.window,
                scratch,
                marks,
                companion,
            )
            stack.callback(loop.store.close)
            # The window opens before anyone can know that it does: whoever waits for the word is counted from the
            # first event on.
            loop.begin()
            attach_seconds = time.monotonic() - began
            if signals.interrupted:
                raise KeyboardInterrupt
            if server:
                target.adopt_held()
                server.release()
            on_attached(attach_seconds)
            if companion:
                companion.release()
            stopped_by = loop.run()
            return self._gather(program, target, loop, stopped_by, attach_seconds)

    def _attach(self, program: Program) -> dict[str, Reader]:
        from netprobe.engine.counting import open_reader

        readers = {}
        for probe in self._probes:
            refused = [text for point in probe.attach_points() if (text := self._attach_point(program, point))]
            self._unavailable += refused
            if len(refused) == len(probe.attach_points()):
                if probe.name not in self._dispensable:
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
        """Attach it; the reason if that was not possible, else nothing."""
        try:
            if isinstance(point, FallbackChain):
                self._mechanisms[point.what], _ = program.attach_fallback(point)
            else:
                program.attach(point)
        except NotPossibleHereError as error:
            if isinstance(point, FallbackChain) and point.optional:
                self._mechanisms[point.what] = "not on this kernel"
                return ""
            return error.message
        return ""

    def _gather(
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


def _held_within(stack: ExitStack, held: _Held) -> _Held:
    stack.callback(held.end)
    return held
