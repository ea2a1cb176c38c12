"""All selected probes as one BPF program: compiled by BCC, loaded, attached, with its run time."""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netprobe.engine.background import Background
from netprobe.engine.bcc_compiler import captured_messages, import_bcc, mask_kallsyms
from netprobe.engine.btf import Btf
from netprobe.engine.libbpf import (
    TRACE_FENTRY,
    TRACE_FEXIT,
    TRACE_ITER,
    TRACE_RAW_TP,
    BpfMap,
    attach_typed,
    load_typed,
)
from netprobe.engine.machine import possible_cpus
from netprobe.engine.options import RecordOptions
from netprobe.engine.perf_events import attach_samples, continue_samples, pause_samples
from netprobe.engine.program_source import THREAD_DROPPED, pid_limit, slots_for, source_of
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
    ThreadTimes,
)

# Tests force an attach mechanism by its name.
TEST_ATTACH_MECHANISM = "NETPROBE_TEST_ATTACH_MECHANISM"
_TRACING = 26  # BPF_PROG_TYPE_TRACING, which BCC has no name for
# Message of the verifier about a helper that lockdown disables (LOCKDOWN_BPF_READ_KERNEL, kernel/trace/bpf_trace.c).
_LOCKED_DOWN = re.compile(r"(unknown func|cannot use helper) bpf_probe_read")
_LIFE_CYCLE = (
    RawTracepoint("on_fork", "sched_process_fork"),
    RawTracepoint("on_exec", "sched_process_exec"),
    RawTracepoint("on_exit", "sched_process_exit"),
)


_Typed = BtfTracepoint | FunctionEntry | FunctionExit | TaskIterator
_ATTACH_TYPES: dict[type[_Typed], int] = {
    BtfTracepoint: TRACE_RAW_TP,
    FunctionEntry: TRACE_FENTRY,
    FunctionExit: TRACE_FEXIT,
    TaskIterator: TRACE_ITER,
}


@dataclass(frozen=True)
class Cost:
    """Run time of a BPF program while the kernel's BPF run-time statistics were enabled."""

    program: str
    attached_to: str
    run_ns: int
    runs: int
    duty_cycled: bool = False


def _all_points(probes: Sequence[Probe]) -> Iterator[AttachPoint]:
    for probe in probes:
        for point in probe.attach_points():
            if isinstance(point, FallbackChain):
                for _, points in point.mechanisms:
                    yield from points
            else:
                yield point


def _iterators(probes: Sequence[Probe]) -> Iterator[TaskIterator]:
    for probe in probes:
        yield from (counters.iterator for counters in probe.counters() if isinstance(counters, ThreadTimes))


def _btf_ids(probes: Sequence[Probe], btf: Btf) -> dict[AttachPoint | TaskIterator, int]:
    """BTF ids of the tracepoints and functions that typed programs attach to, where this kernel has them."""
    ids: dict[AttachPoint | TaskIterator, int] = {}
    for point in (*_all_points(probes), *_iterators(probes)):
        with suppress(NotPossibleHereError):
            if isinstance(point, BtfTracepoint):
                ids[point] = btf.raw_tracepoint_id(point.tracepoint)
            elif isinstance(point, FunctionEntry | FunctionExit | TaskIterator):
                ids[point] = btf.function_id(point.kernel_function)
    return ids


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
    """A compiled program. Nothing of it stays in the kernel after `close`, not even after SIGKILL.

    `slots`: how many threads it can tell apart. `pid_max`: one more than the largest thread number.
    """

    def __init__(self, probes: Sequence[Probe], options: RecordOptions) -> None:
        bcc = import_bcc()
        self._bcc_class = bcc.BPF
        self.slots, self.pid_max = slots_for(options), pid_limit()
        self.lib: Any = bcc.lib
        btf = Btf()
        try:
            source = source_of(probes, options, self.slots, self.pid_max, btf)
            self._btf_ids = _btf_ids(probes, btf)
        finally:
            btf.close()
        self.dropped = list(THREAD_DROPPED.items())
        for probe in probes:
            self.dropped += probe.dropped.items()
        self._loaded: dict[str, int] = {}
        self._typed: dict[_Typed, int] = {}
        self._windows = 0
        self._refused: Counter[str] = Counter()
        self._attached: list[_Attached] = []
        # Programs that are detached for the moment: duty-cycled ones, and frequent ones outside of sampling windows.
        self._resting: list[_Attached] = []
        # Descriptors of programs that BCC does not know.
        self._owned: list[int] = []
        self._bpf: Any = None
        self._compiling = Background(lambda: self._compile(source))

    def wait_until_compiled(self) -> None:
        """Wait for the compiler, which runs in the background; raises `NetprobeError` if it failed."""
        self._bpf = self._compiling.result()

    def _compile(self, source: str) -> Any:
        mask_kallsyms()
        with captured_messages() as messages:
            try:
                return self._bcc_class(text=source.encode())
            except Exception as error:  # BCC raises nothing more specific
                failure = error
        raise _explain(failure, "compile its probes for this kernel", messages[0]) from failure

    def _load(self, function: str, kind: int) -> int:
        if function not in self._loaded:
            with captured_messages() as messages:
                try:
                    self._loaded[function] = self._bpf.load_func(function.encode(), kind).fd
                except Exception as error:  # as above
                    failure: Exception | None = error
                else:
                    failure = None
            if failure:
                raise _explain(failure, f"load its program {function}", messages[0]) from failure
        return self._loaded[function]

    def _load_typed(self, point: _Typed) -> int:
        if point in self._typed:
            return self._typed[point]
        if point not in self._btf_ids:
            raise NotPossibleHereError(f"This kernel does not support {point}.")
        name = point.function
        start = self.lib.bpf_function_start(self._bpf.module, name.encode())
        size = self.lib.bpf_function_size(self._bpf.module, name.encode())
        program = load_typed(name, start, size, self._btf_ids[point], _ATTACH_TYPES[type(point)])
        self._owned.append(program)
        self._typed[point] = program
        return program

    def attach_life_cycle(self) -> None:
        """Attach the programs that trace children and new threads of traced threads."""
        for point in _LIFE_CYCLE:
            self.attach(point)

    def attach(self, point: AttachPoint) -> None:
        """Attach one program; raises `NotPossibleHereError` if the kernel refuses."""
        ctypes.set_errno(0)
        if isinstance(point, Kprobe):
            program = self._load(point.function, self._bcc_class.KPROBE)
            fd = self._attach_kprobe(point, program)
        elif isinstance(point, RawTracepoint):
            program = self._load(point.function, self._bcc_class.RAW_TRACEPOINT)
            fd = self.lib.bpf_attach_raw_tracepoint(program, point.tracepoint.encode())
        elif isinstance(point, PerfEvent):
            program = self._load(point.function, self._bcc_class.PERF_EVENT)
            self._attached.append(_Attached(point, program, attach_samples(point, program)))
            return
        else:
            program = self._load_typed(point)
            fd = attach_typed(program)
        if fd < 0:
            raise NotPossibleHereError(
                f"The kernel did not let netprobe attach to {point}: {os.strerror(ctypes.get_errno() or -fd)}."
            )
        self._attached.append(_Attached(point, program, (fd,)))

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
        key, value = ctypes.c_uint32(0), ctypes.c_uint32(number)
        self.lib.bpf_update_elem(self.map("sampling_window").fd, ctypes.byref(key), ctypes.byref(value), 0)

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

    def _attach_kprobe(self, point: Kprobe, program: int) -> int:
        name = f"netprobe_{os.getpid()}_{'r' if point.at_return else 'p'}_{point.kernel_function}"
        with captured_messages():
            return int(
                self.lib.bpf_attach_kprobe(
                    program, int(point.at_return), name.encode(), point.kernel_function.encode(), 0, 0
                )
            )

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
        fd: int = self.lib.bpf_table_fd(self._bpf.module, name.encode())
        if fd < 0:
            raise NetprobeError(f"netprobe's program has no map {name}.")
        return BpfMap.of(name, fd)

    def iterate(self, function: str) -> bytes:
        """Run a BPF iterator once and return its output."""
        link = self._attach_iterator(self._load(function, _TRACING), function)
        try:
            return self.read_iterator(link)
        finally:
            os.close(link)

    def open_iterator(self, iterator: TaskIterator) -> int:
        """Attach an iterator; return the link, which `read_iterator` reads as often as needed."""
        link = self._attach_iterator(self._load_typed(iterator), iterator.function)
        self._owned.append(link)
        return link

    def _attach_iterator(self, program: int, function: str) -> int:
        self.lib.bcc_iter_attach.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
        link = int(self.lib.bcc_iter_attach(program, None, 0))
        if link < 0:
            raise NotPossibleHereError(f"The kernel did not let netprobe attach its iterator {function}.")
        return link

    def read_iterator(self, link: int) -> bytes:
        """All records that an attached iterator writes."""
        reader = self.lib.bcc_iter_create(link)
        try:
            data = bytearray()
            while chunk := os.read(reader, 1 << 16):
                data += chunk
            return bytes(data)
        finally:
            os.close(reader)

    def dropped_counts(self) -> Mapping[str, int]:
        """Events that were not counted: sentence with {count} -> count."""
        counts, fd = {}, self.map("dropped").fd
        for index, (_, text) in enumerate(self.dropped):
            values = (ctypes.c_uint64 * possible_cpus())()
            key = ctypes.c_uint32(index)
            self.lib.bpf_lookup_elem(fd, ctypes.byref(key), ctypes.byref(values))
            counts[text] = sum(values)
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
        self.detach()
        while self._owned:
            os.close(self._owned.pop())
        # Standard error is redirected while the compiler runs: no message may be written before its end.
        with suppress(Exception):
            self._compiling.result().cleanup()


def _explain(error: Exception, step: str, messages: str) -> NetprobeError:
    if _LOCKED_DOWN.search(messages):
        return NotPossibleHereError(
            "The kernel is locked down for confidentiality: BPF programs may not read its memory, which holds the list "
            "of threads and sockets.",
            hint="Boot without lockdown=confidentiality; lockdown=integrity is supported.",
        )
    text = f"netprobe could not {step}: {error}"
    if messages.strip():
        text += f"\nMessages of the compiler and the kernel:\n{messages.strip()}"
    if "super-user" in str(error) or "Operation not permitted" in messages:
        return NotPossibleHereError(
            text,
            hint="Run as root. If you are root, the kernel is locked down or a container withholds CAP_BPF.",
        )
    return NetprobeError(text, hint="Please report this with the output of `uname -r`.")
