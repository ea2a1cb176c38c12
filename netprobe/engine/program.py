"""All selected probes as one BPF program: compiled by BCC, loaded, attached, accounted for."""

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
from netprobe.engine.bcc_module import import_bcc
from netprobe.engine.btf import Btf, load_libbpf
from netprobe.engine.btf_program import TRACE_FENTRY, TRACE_FEXIT, TRACE_RAW_TP, attach_typed, load_typed
from netprobe.engine.compiler_noise import compiler_noise
from netprobe.engine.kallsyms_mask import mask_kallsyms
from netprobe.engine.machine import possible_cpus
from netprobe.engine.perf_events import attach_samples, continue_samples, pause_samples
from netprobe.engine.program_source import THREAD_DROPPED, ProgramOptions, source_of
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
)

# Tests force one of several ways in by its name.
TEST_ATTACH_MECHANISM = "NETPROBE_TEST_ATTACH_MECHANISM"
_TRACING = 26  # BPF_PROG_TYPE_TRACING, which BCC has no name for
# What verifiers say of a helper that lockdown withholds (LOCKDOWN_BPF_READ_KERNEL, kernel/trace/bpf_trace.c).
_WITHHELD = re.compile(r"(unknown func|cannot use helper) bpf_probe_read")
_LIFE_CYCLE = (
    RawTracepoint("on_fork", "sched_process_fork"),
    RawTracepoint("on_exec", "sched_process_exec"),
    RawTracepoint("on_exit", "sched_process_exit"),
)


_Typed = BtfTracepoint | FunctionEntry | FunctionExit
_ATTACH_TYPES: dict[type[_Typed], int] = {
    BtfTracepoint: TRACE_RAW_TP,
    FunctionEntry: TRACE_FENTRY,
    FunctionExit: TRACE_FEXIT,
}


@dataclass(frozen=True)
class Cost:
    """What one BPF program took, by the kernel's own account, while the account was switched on."""

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


def _btf_ids(probes: Sequence[Probe], btf: Btf) -> dict[AttachPoint, int]:
    """BTF ids of what typed programs attach to, where this kernel has it."""
    ids: dict[AttachPoint, int] = {}
    for point in _all_points(probes):
        with suppress(NotPossibleHereError):
            if isinstance(point, BtfTracepoint):
                ids[point] = btf.raw_tracepoint_id(point.tracepoint)
            elif isinstance(point, FunctionEntry | FunctionExit):
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
    """A compiled program. Close it to detach: nothing of it stays in the kernel, not even after SIGKILL."""

    def __init__(self, probes: Sequence[Probe], options: ProgramOptions) -> None:
        bcc = import_bcc()
        self._bcc_class = bcc.BPF
        self.options = options
        self.lib: Any = bcc.lib
        btf = Btf()
        try:
            source = source_of(probes, options, btf)
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
        # Those that are not attached now: duty-cycled ones, and outside of windows the frequent ones.
        self._resting: list[_Attached] = []
        # Descriptors of programs that BCC does not know of.
        self._owned: list[int] = []
        self._bpf: Any = None
        self._compiling = Background(lambda: self._compile(source))

    def wait_until_compiled(self) -> None:
        """The compiler runs in the background from the beginning on; raises `NetprobeError` if it failed."""
        self._bpf = self._compiling.result()

    def _compile(self, source: str) -> Any:
        mask_kallsyms()
        with compiler_noise() as noise:
            try:
                return self._bcc_class(text=source.encode())
            except Exception as error:  # BCC knows one kind of error only
                failure = error
        raise _explain(failure, "compile its probes for this kernel", noise[0]) from failure

    def _load(self, function: str, kind: int) -> int:
        if function not in self._loaded:
            with compiler_noise() as noise:
                try:
                    self._loaded[function] = self._bpf.load_func(function.encode(), kind).fd
                except Exception as error:  # as above
                    failure: Exception | None = error
                else:
                    failure = None
            if failure:
                raise _explain(failure, f"load its program {function}", noise[0]) from failure
        return self._loaded[function]

    def _load_typed(self, point: _Typed) -> int:
        if point in self._typed:
            return self._typed[point]
        if point not in self._btf_ids:
            raise NotPossibleHereError(f"This kernel does not have what {point} needs.")
        name = point.function
        start = self.lib.bpf_function_start(self._bpf.module, name.encode())
        size = self.lib.bpf_function_size(self._bpf.module, name.encode())
        program = load_typed(name, start, size, self._btf_ids[point], _ATTACH_TYPES[type(point)])
        self._owned.append(program)
        self._typed[point] = program
        return program

    def attach_life_cycle(self) -> None:
        """From here on, children and new threads of traced threads are traced."""
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
        """Let the duty-cycled programs see what happens inside."""
        self._wake([one for one in self._resting if one.duty_cycled])
        try:
            yield
        finally:
            self._rest([one for one in self._attached if one.duty_cycled])

    @contextmanager
    def window(self) -> Iterator[None]:
        """Of a program that counts in windows: what happens inside is counted, by all probes from one moment on."""
        self._wake([one for one in self._resting if one.frequent])
        for one in self._samples():
            continue_samples(one.links)
        self._windows += 1
        self._open_window(self._windows)
        try:
            yield
        finally:
            self._open_window(0)
            self.rest()

    def _open_window(self, number: int) -> None:
        key, value = ctypes.c_uint32(0), ctypes.c_uint32(number)
        self.lib.bpf_update_elem(self.map_fd("open_window"), ctypes.byref(key), ctypes.byref(value), 0)

    def rest(self) -> None:
        """Detach the frequent ones and take no samples, until the next window."""
        self._rest([one for one in self._attached if one.frequent])
        for one in self._samples():
            pause_samples(one.links)

    def _samples(self) -> list[_Attached]:
        return [one for one in self._attached if isinstance(one.point, PerfEvent)]

    def _wake(self, those: Sequence[_Attached]) -> None:
        for one in those:
            try:
                self.attach(one.point)
            except NotPossibleHereError:
                # What the kernel allowed once it may refuse now, and allow again. Part-time programs see the same
                # again and again; of the others, counts are missing.
                self._refused[str(one.point)] += one.frequent
            else:
                self._resting.remove(one)

    def refused(self) -> list[str]:
        """What is missing because a program could not be attached again, in sentences."""
        return [
            f"{count} windows lack what {point} counts: the kernel did not let netprobe attach to it again"
            for point, count in self._refused.items()
            if count
        ]

    def _rest(self, those: Sequence[_Attached]) -> None:
        for one in those:
            one.detach()
            self._attached.remove(one)
            self._resting.append(one)

    def _attach_kprobe(self, point: Kprobe, program: int) -> int:
        name = f"netprobe_{os.getpid()}_{'r' if point.at_return else 'p'}_{point.kernel_function}"
        with compiler_noise():
            return int(
                self.lib.bpf_attach_kprobe(
                    program, int(point.at_return), name.encode(), point.kernel_function.encode(), 0, 0
                )
            )

    def attach_fallback(self, choice: FallbackChain) -> tuple[str, list[str]]:
        """Attach the best way that the kernel allows: its name, and why those before it were refused."""
        refused: list[str] = []
        wanted = os.environ.get(TEST_ATTACH_MECHANISM)
        kinds = [name.partition(",")[0] for name, _ in choice.mechanisms]
        # A choice that has no way of this name is not what the test is about, unless it can do without.
        forced = bool(wanted) and (wanted in kinds or choice.optional)
        for kind, (name, points) in zip(kinds, choice.mechanisms, strict=True):
            if forced and wanted != kind:
                continue
            before = len(self._attached)
            try:
                for point in points:
                    self.attach(point)
            except NotPossibleHereError as error:
                refused.append(error.message.splitlines()[0])
                for attached in self._attached[before:]:
                    attached.detach()
                del self._attached[before:]
            else:
                return name, refused
        raise NotPossibleHereError(f"There is no way to see the {choice.what}: {' '.join(refused)}")

    def attached(self) -> list[str]:
        """What is attached, in words."""
        return [f"{one.point.function}: {one.point}" for one in (*self._attached, *self._resting)]

    def map_fd(self, name: str) -> int:
        """File descriptor of a map."""
        fd: int = self.lib.bpf_table_fd(self._bpf.module, name.encode())
        if fd < 0:
            raise NetprobeError(f"netprobe's program has no map {name}.")
        return fd

    def map_entries(self, name: str) -> int:
        """How many elements a map can hold."""
        return int(self.lib.bpf_table_max_entries_id(self._bpf.module, self._table_id(name)))

    def _table_id(self, name: str) -> int:
        return int(self.lib.bpf_table_id(self._bpf.module, name.encode()))

    def iterate(self, function: str, link_info: bytes | None = None) -> bytes:
        """Run a BPF iterator once and give all that it wrote."""
        program = self._load(function, _TRACING)
        self.lib.bcc_iter_attach.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
        link = self.lib.bcc_iter_attach(program, None, 0)
        if link < 0:
            raise NotPossibleHereError(f"The kernel did not let netprobe attach its iterator {function}.")
        reader = self.lib.bcc_iter_create(link)
        try:
            data = bytearray()
            while chunk := os.read(reader, 1 << 16):
                data += chunk
            return bytes(data)
        finally:
            os.close(reader)
            os.close(link)

    def dropped_counts(self) -> Mapping[str, int]:
        """What could not be counted where it belongs: explanation with {count} -> count."""
        counts = {}
        for index, (_, text) in enumerate(self.dropped):
            values = (ctypes.c_uint64 * possible_cpus())()
            key = ctypes.c_uint32(index)
            self.lib.bpf_lookup_elem(self.map_fd("dropped"), ctypes.byref(key), ctypes.byref(values))
            counts[text] = sum(values)
        return counts

    def costs(self) -> list[Cost]:
        """Time in the kernel by program, from the descriptors' fdinfo (Documentation/bpf, bpf_stats)."""
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
        # While the compiler runs, standard error is not itself: no message may be written before its end.
        with suppress(Exception):
            self._compiling.result().cleanup()


def _explain(error: Exception, step: str, noise: str) -> NetprobeError:
    if _WITHHELD.search(noise):
        return NotPossibleHereError(
            "The kernel is locked down for confidentiality: it lets no program read its memory, from which netprobe "
            "takes which threads and sockets there are.",
            hint="Boot without lockdown=confidentiality; lockdown=integrity is no hindrance.",
        )
    text = f"netprobe could not {step}: {error}"
    if noise.strip():
        text += f"\nThe compiler and the kernel said:\n{noise.strip()}"
    if "super-user" in str(error) or "Operation not permitted" in noise:
        return NotPossibleHereError(
            text,
            hint="Run as root. If you are root, the kernel is locked down or a container withholds CAP_BPF.",
        )
    return NetprobeError(text, hint="Please report this with the output of `uname -r`.")


@contextmanager
def kernel_accounting() -> Iterator[bool]:
    """Let the kernel account for BPF run times while inside; False where it cannot.

    The setting is a file descriptor's, so that it goes with netprobe however netprobe ends.
    Source: BPF_ENABLE_STATS, kernel 5.8 (commit d46edd671a14).
    """
    fd = load_libbpf().bpf_enable_stats(0)
    try:
        yield fd >= 0
    finally:
        if fd >= 0:
            os.close(fd)
