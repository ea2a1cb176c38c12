"""All selected probes as one BPF program: loaded, attached, with its run time."""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netprobe.engine.bpf import (
    KPROBE,
    PERF_EVENT,
    RAW_TRACEPOINT,
    TRACE_FENTRY,
    TRACE_FEXIT,
    TRACE_ITER,
    TRACE_RAW_TP,
    TRACING,
    BpfMap,
    RefusedProgramError,
    append_elements,
    attach_iterator,
    attach_raw_tracepoint,
    create_map,
    load_program,
    lookup_element,
    read_iterator,
    update_element,
)
from netprobe.engine.btf import KernelTypes
from netprobe.engine.compiled_program import CompiledProgram
from netprobe.engine.machine import possible_cpus
from netprobe.engine.options import RecordOptions
from netprobe.engine.perf_events import attach_kprobe, attach_samples, continue_samples, pause_samples
from netprobe.engine.program_source import (
    ITERATORS,
    THREAD_DROPPED,
    ProgramText,
    all_points,
    pid_limit,
    program_text,
    slots_for,
)
from netprobe.engine.refusals import explain
from netprobe.errors import NetprobeError, NotPossibleHereError
from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    FallbackChain,
    FunctionEntry,
    FunctionExit,
    Kprobe,
    PerfEvent,
    Probe,
    RawTracepoint,
    TaskIterator,
)

# Tests force an attach mechanism by its name.
TEST_ATTACH_MECHANISM = "NETPROBE_TEST_ATTACH_MECHANISM"
_LIFE_CYCLE = (
    RawTracepoint("on_fork", "sched_process_fork"),
    RawTracepoint("on_exec", "sched_process_exec"),
    RawTracepoint("on_exit", "sched_process_exit"),
)
_ITERATORS = {iterator.function: iterator for iterator in ITERATORS}


_Typed = BtfTracepoint | FunctionEntry | FunctionExit | TaskIterator
# Kind of the program and attach type.
_KINDS: dict[type[AttachPoint | TaskIterator], tuple[int, int]] = {
    RawTracepoint: (RAW_TRACEPOINT, 0),
    Kprobe: (KPROBE, 0),
    PerfEvent: (PERF_EVENT, 0),
    BtfTracepoint: (TRACING, TRACE_RAW_TP),
    FunctionEntry: (TRACING, TRACE_FENTRY),
    FunctionExit: (TRACING, TRACE_FEXIT),
    TaskIterator: (TRACING, TRACE_ITER),
}


@dataclass(frozen=True)
class Cost:
    """Run time of a BPF program while the kernel's BPF run-time statistics were enabled."""

    program: str
    attached_to: str
    run_ns: int
    runs: int
    duty_cycled: bool = False


@dataclass(frozen=True)
class _Attached:
    point: AttachPoint
    program: int
    links: tuple[int, ...]

    @property
    def duty_cycled(self) -> bool:
        return isinstance(self.point, RawTracepoint) and self.point.duty_cycled

    @property
    def frequent(self) -> bool:
        return isinstance(self.point, RawTracepoint | BtfTracepoint) and self.point.frequent

    def detach(self) -> None:
        for link in self.links:
            os.close(link)


class Program:
    """A program in the kernel. Nothing of it stays there after `close`, not even after SIGKILL.

    `slots`: how many threads it can tell apart. `pid_max`: one more than the largest thread number.
    """

    def __init__(self, probes: Sequence[Probe], options: RecordOptions) -> None:
        self.slots, self.pid_max = slots_for(options), pid_limit()
        self.dropped = list(THREAD_DROPPED.items())
        for probe in probes:
            self.dropped += probe.dropped.items()
        # Without these there is no recording.
        self._required: list[AttachPoint | TaskIterator] = [*_LIFE_CYCLE, ITERATORS[0]]
        for probe in probes:
            if not probe.optional:
                self._required += [point for point in probe.attach_points() if isinstance(point, RawTracepoint)]
        self._functions = {point.function for point in (*_LIFE_CYCLE, *all_points(probes))}
        self._loaded: dict[tuple[str, int, int], int] = {}
        self._maps: dict[str, BpfMap] = {}
        self._windows = 0
        self._refused: Counter[str] = Counter()
        self._attached: list[_Attached] = []
        # Programs that are detached for the moment: duty-cycled ones, and frequent ones outside of sampling windows.
        self._resting: list[_Attached] = []
        # Links of iterators.
        self._links: list[int] = []

        def describe(types: KernelTypes) -> ProgramText:
            return program_text(probes, options, self.slots, self.pid_max, types)

        self._compiled = CompiledProgram(describe, options.use_cache)

    def load(self) -> str:
        """Wait for the compiler if the program is not in the cache, and load it; return where it came from.

        Raises `NetprobeError`. Programs that a recording can do without are loaded when they are attached.
        """
        self._text, self._stored = self._compiled.result()
        if self._compiled.from_cache:
            try:
                self._load_required()
            except OSError as error:
                self._unload()
                self._compiled.compile_anew(error.strerror or str(error))
                self._text, self._stored = self._compiled.result()
        if not self._maps:
            try:
                self._create_maps()
            except OSError as error:
                self._unload()
                raise explain(error.strerror, "create its maps", "") from error
        return ("from the cache: " if self._compiled.from_cache else "compiled: ") + self._compiled.note

    def _load_required(self) -> None:
        if missing := self._functions - set(self._stored.functions):
            raise OSError(errno.ENOENT, f"it has no {min(missing)}")
        self._create_maps()
        for point in self._required:
            self._load_function(point)

    def _create_maps(self) -> None:
        for name, definition in self._stored.maps.items():
            _, key_size, value_size, entries, _ = definition
            self._maps[name] = BpfMap(name, create_map(name, definition), key_size, value_size, entries)

    def _load_function(self, point: AttachPoint | TaskIterator) -> int:
        """Load the function of an attach point once; raises `OSError`."""
        kind, attach_type = _KINDS[type(point)]
        btf_id = self._text.btf_ids.get(point, 0)
        # A function may be loaded for several tracepoints.
        key = (point.function, kind, btf_id)
        if key not in self._loaded:
            descriptors = {name: found.fd for name, found in self._maps.items()}
            code = self._stored.functions[point.function].for_maps(descriptors)
            self._loaded[key] = load_program(point.function, code, kind, attach_type, btf_id)
        return self._loaded[key]

    def _load(self, point: AttachPoint | TaskIterator) -> int:
        if _KINDS[type(point)][0] == TRACING and point not in self._text.btf_ids:
            raise NotPossibleHereError(f"This kernel does not support {point}.")
        try:
            return self._load_function(point)
        except RefusedProgramError as error:
            if point in self._required or not isinstance(point, BtfTracepoint | FunctionEntry | FunctionExit):
                raise explain(error.strerror, f"load its program {point.function}", error.log) from error
            reason = f"The kernel refused netprobe's program {point.function}: {error.strerror}.\n{error.log}"
            raise NotPossibleHereError(reason.strip()) from error

    def _unload(self) -> None:
        for program in self._loaded.values():
            os.close(program)
        for found in self._maps.values():
            os.close(found.fd)
        self._loaded.clear()
        self._maps.clear()

    def attach_life_cycle(self) -> None:
        """Attach the programs that trace children and new threads of traced threads."""
        for point in _LIFE_CYCLE:
            self.attach(point)

    def attach(self, point: AttachPoint) -> None:
        """Attach one program; raises `NotPossibleHereError` if the kernel refuses."""
        program = self._load(point)
        try:
            if isinstance(point, Kprobe):
                links: tuple[int, ...] = (attach_kprobe(point, program),)
            elif isinstance(point, PerfEvent):
                links = attach_samples(point, program)
            else:
                tracepoint = point.tracepoint if isinstance(point, RawTracepoint) else None
                links = (attach_raw_tracepoint(program, tracepoint),)
        except OSError as error:
            raise NotPossibleHereError(
                f"The kernel did not let netprobe attach to {point}: {error.strerror}."
            ) from error
        self._attached.append(_Attached(point, program, links))

    @contextmanager
    def with_duty_cycled(self) -> Iterator[None]:
        """Attach the duty-cycled programs inside the context."""
        self._attach_again([program for program in self._resting if program.duty_cycled])
        try:
            yield
        finally:
            self._rest([program for program in self._attached if program.duty_cycled])

    @contextmanager
    def sampling_window(self) -> Iterator[None]:
        """In a duty-cycled recording: count events inside the context, starting at the same moment for all probes."""
        self._attach_again([program for program in self._resting if program.frequent])
        for sampler in self._samplers():
            continue_samples(sampler.links)
        self._windows += 1
        self._set_window(self._windows)
        try:
            yield
        finally:
            self._set_window(0)
            self.rest()

    def _set_window(self, number: int) -> None:
        update_element(self.map("sampling_window").fd, bytes(4), number.to_bytes(4, sys.byteorder))

    def rest(self) -> None:
        """Detach the frequent programs and pause sampling until the next sampling window."""
        self._rest([program for program in self._attached if program.frequent])
        for sampler in self._samplers():
            pause_samples(sampler.links)

    def _samplers(self) -> list[_Attached]:
        return [program for program in self._attached if isinstance(program.point, PerfEvent)]

    def _attach_again(self, programs: Sequence[_Attached]) -> None:
        for program in programs:
            try:
                self.attach(program.point)
            except NotPossibleHereError:
                # The kernel may refuse an attachment once and allow the next one. Duty-cycled programs see the same
                # calls in every interval; counts of the others are missing.
                self._refused[str(program.point)] += program.frequent
            else:
                self._resting.remove(program)

    def refused(self) -> list[str]:
        """Sentences on counts that are missing because a program could not be attached again."""
        return [
            f"{count} sampling windows lack the counts of {point}: the kernel did not let netprobe attach to it again"
            for point, count in self._refused.items()
            if count
        ]

    def _rest(self, programs: Sequence[_Attached]) -> None:
        for program in programs:
            program.detach()
            self._attached.remove(program)
            self._resting.append(program)

    def attach_fallback(self, chain: FallbackChain) -> str:
        """Attach the first mechanism of a fallback chain that the kernel allows; return its name.

        Raises `NotPossibleHereError` with all reasons if there is none.
        """
        reasons: list[str] = []
        wanted = os.environ.get(TEST_ATTACH_MECHANISM)
        kinds = [name.partition(",")[0] for name, _ in chain.mechanisms]
        # A chain without a mechanism of this name is not the subject of the test, unless the chain is optional.
        forced = bool(wanted) and (wanted in kinds or chain.optional)
        for kind, (name, points) in zip(kinds, chain.mechanisms, strict=True):
            if forced and wanted != kind:
                continue
            before = len(self._attached)
            try:
                for point in points:
                    self.attach(point)
            except NotPossibleHereError as error:
                reasons.append(error.message.splitlines()[0])
                for attached in self._attached[before:]:
                    attached.detach()
                del self._attached[before:]
            else:
                return name
        raise NotPossibleHereError(f"No attach mechanism works for the {chain.purpose}: {' '.join(reasons)}")

    def attached(self) -> list[str]:
        """Programs and their attach points."""
        return [f"{program.point.function}: {program.point}" for program in (*self._attached, *self._resting)]

    def map(self, name: str) -> BpfMap:
        """A map of the program."""
        if name not in self._maps:
            raise NetprobeError(f"netprobe's program has no map {name}.")
        return self._maps[name]

    def append(self, queue: str, values: Iterable[int]) -> None:
        """Append 32-bit numbers to a queue."""
        append_elements(self.map(queue).fd, values)

    def iterate(self, function: str) -> bytes:
        """Run a BPF iterator once and return its output."""
        link = self._attach_iterator(_ITERATORS[function])
        try:
            return read_iterator(link)
        finally:
            os.close(link)

    def open_iterator(self, iterator: TaskIterator) -> int:
        """Attach an iterator; return the link, which `read_iterator` reads as often as needed."""
        link = self._attach_iterator(iterator)
        self._links.append(link)
        return link

    def _attach_iterator(self, iterator: TaskIterator) -> int:
        try:
            return attach_iterator(self._load(iterator))
        except OSError as error:
            raise NotPossibleHereError(
                f"The kernel did not let netprobe attach its iterator {iterator.function}: {error.strerror}."
            ) from error

    def dropped_counts(self) -> Mapping[str, int]:
        """Events that were not counted: sentence with {count} -> count."""
        counts, fd, size = {}, self.map("dropped").fd, 8 * possible_cpus()
        for index, (_, text) in enumerate(self.dropped):
            value = lookup_element(fd, index.to_bytes(4, sys.byteorder), size)
            counts[text] = sum(memoryview(value).cast("Q"))
        return counts

    def costs(self) -> list[Cost]:
        """Run time of each program, from the fdinfo of its descriptor (Documentation/bpf, bpf_stats)."""
        costs = []
        for attached in (*self._attached, *self._resting):
            point = attached.point
            info = Path(f"/proc/self/fdinfo/{attached.program}").read_text()
            fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
            run_ns, runs = int(fields.get("run_time_ns", 0)), int(fields.get("run_cnt", 0))
            costs.append(Cost(point.function, str(point), run_ns, runs, attached.duty_cycled))
        return costs

    def detach(self) -> None:
        """Stop counting; the maps can still be read."""
        self._resting.clear()
        while self._attached:
            self._attached.pop().detach()

    def close(self) -> None:
        """Detach and free everything."""
        self._compiled.close()
        self.detach()
        while self._links:
            os.close(self._links.pop())
        self._unload()
