"""The interface between probes and the engine: attach points, maps, dropped events, and tables from counters.

Probes import NumPy where they make tables: the engine loads it while the programs are being compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from netprobe.run.table import Table

    Rows = npt.NDArray[np.void]


class KernelLayout(Protocol):
    """The running kernel's BTF, as far as probes need it."""

    def offset(self, struct: str, path: str) -> int:
        """Byte offset of a field."""

    def has_field(self, struct: str, path: str) -> bool:
        """Whether the kernel has the field."""

    def has_function(self, name: str) -> bool:
        """Whether the kernel has the function."""

    @property
    def switch_state(self) -> str:
        """C expression for the state in which a thread leaves its CPU."""


@dataclass(frozen=True)
class RawTracepoint:
    """A function of the probe's C file and the raw tracepoint that calls it.

    `duty_cycled`: attached for a small part of each interval only, for events that repeat. `frequent`: a duty-cycled
    recording attaches it in sampling windows only, because of the number of events.
    """

    function: str
    tracepoint: str
    duty_cycled: bool = False
    frequent: bool = False

    def __str__(self) -> str:
        return f"raw tracepoint {self.tracepoint}" + (", part of the time" if self.duty_cycled else "")


@dataclass(frozen=True)
class BtfTracepoint:
    """A raw tracepoint whose arguments are typed by BTF: the program reads kernel structures without a helper call."""

    function: str
    tracepoint: str
    frequent: bool = False

    def __str__(self) -> str:
        return f"BTF tracepoint {self.tracepoint}"


@dataclass(frozen=True)
class FunctionExit:
    """A function of the probe's C file, called with arguments and result when a kernel function returns (fexit)."""

    function: str
    kernel_function: str

    def __str__(self) -> str:
        return f"fexit on {self.kernel_function}"


@dataclass(frozen=True)
class FunctionEntry:
    """A function of the probe's C file, called with the arguments when a kernel function begins (fentry)."""

    function: str
    kernel_function: str

    def __str__(self) -> str:
        return f"fentry on {self.kernel_function}"


@dataclass(frozen=True)
class Kprobe:
    """A function of the probe's C file, called when a kernel function begins or returns."""

    function: str
    kernel_function: str
    at_return: bool = False

    def __str__(self) -> str:
        return f"{'kretprobe' if self.at_return else 'kprobe'} on {self.kernel_function}"


@dataclass(frozen=True)
class PerfEvent:
    """A function of the probe's C file, called `frequency` times per second on every CPU that is busy with `event`."""

    function: str
    event: str  # "cycles" or "cpu-clock"
    frequency: int

    def __str__(self) -> str:
        return f"perf event {self.event} at {self.frequency} Hz"


@dataclass(frozen=True)
class TaskIterator:
    """A function of the probe's C file that is called for every task, each time that user space reads it."""

    function: str
    kernel_function: str = "bpf_iter_task"

    def __str__(self) -> str:
        return "BPF task iterator"


AttachPoint = RawTracepoint | BtfTracepoint | FunctionEntry | FunctionExit | Kprobe | PerfEvent


@dataclass(frozen=True)
class FallbackChain:
    """Attach mechanisms for the same purpose, best first. The first one that attaches is used and reported.

    `optional`: the probe is complete without it.
    """

    purpose: str
    mechanisms: tuple[tuple[str, tuple[AttachPoint, ...]], ...]
    optional: bool = False


@dataclass(frozen=True)
class ThreadCounters:
    """A memory-mapped array map: a row of `width` u64 counters per thread slot.

    Its rows in an interval: (thread, cell, count), without the zeros.
    """

    map: str
    width: int


@dataclass(frozen=True)
class KeyedCounters:
    """A hash map whose key begins with the u32 slot of a thread, and whose value begins with u64 counters.

    `key` and `extra` name the other fields of the key and the fields behind the counters, as NumPy formats. Its rows in
    an interval: (thread, *key, count: u64[counters], *extra).
    """

    map: str
    key: tuple[tuple[str, str], ...]
    counters: int
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ThreadTimes:
    """The time of each thread by state: the kernel's sums from a task iterator, and sleeps by reason from a map.

    `map` has a structure per thread slot, `sleeps` a row of `reasons` cells per thread slot; `iterator` is the program
    that writes a record per thread, `reason_of_call` the map with the reason of each system call by number. Rows of
    `map` in an interval: (thread, state, count: u64[cells]). States below `reasons` are sleeps; the next ones are
    running, runnable and alive. Counts are nanoseconds, sleeps, uninterruptible nanoseconds, and sleeps by waker.
    """

    map: str
    sleeps: str
    iterator: TaskIterator
    reason_of_call: str
    reasons_by_call: tuple[int, ...]
    reasons: int
    cells: int


Counters = ThreadCounters | KeyedCounters | ThreadTimes


@dataclass(frozen=True)
class ThreadScratch:
    """A memory-mapped array map: `words` u64 per thread slot that programs keep from one event to the next."""

    map: str
    words: int


@dataclass(frozen=True)
class TracedThread:
    """A traced thread: times in nanoseconds of the monotonic clock, tid and pid as in netprobe's PID namespace."""

    thread: int
    tid: int
    pid: int
    name: str
    process: str
    start_ns: int
    exit_ns: int
    cpus_allowed: str = ""


@dataclass(frozen=True)
class MachineCounts:
    """What the kernel counts for the whole machine. Times in nanoseconds, summed over CPUs; waits for I/O are idle."""

    switches: int = 0
    forks: int = 0
    idle_ns: int = 0
    steal_ns: int = 0

    def __add__(self, other: MachineCounts) -> MachineCounts:
        return MachineCounts(
            self.switches + other.switches,
            self.forks + other.forks,
            self.idle_ns + other.idle_ns,
            self.steal_ns + other.steal_ns,
        )

    def __sub__(self, other: MachineCounts) -> MachineCounts:
        return MachineCounts(
            self.switches - other.switches,
            self.forks - other.forks,
            self.idle_ns - other.idle_ns,
            self.steal_ns - other.steal_ns,
        )


@dataclass(frozen=True)
class Interval:
    """The counts of one time interval: `rows` by name of the map, as the classes of counters describe them."""

    start_s: float
    duration_s: float
    rows: Mapping[str, Rows]
    machine: MachineCounts


@dataclass
class Counted:
    """All counts of a recording, before probes make tables of them."""

    threads: Sequence[TracedThread]
    intervals: list[Interval] = field(default_factory=list)

    def rows(self, map_name: str) -> tuple[npt.NDArray[np.int64], Rows]:
        """The rows of one map over all intervals, and the interval of each row."""
        import numpy as np

        parts = [interval.rows[map_name] for interval in self.intervals]
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return numbers, np.concatenate(parts) if parts else np.empty(0, [("thread", "u4"), ("cell", "u4")])


class Probe(Protocol):
    """The Python part of a probe; the other part is the C file of the same name.

    Without arguments, the constructor makes the probe as `netprobe record` uses it.
    """

    name: str
    source: str
    # Name of a DROPPED_… constant in the C file -> the sentence for the user, with {count}.
    dropped: Mapping[str, str]
    # Whether a recording with several probes goes on if the kernel refuses this one.
    optional: bool

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """The constants that its C file is compiled with."""

    def attach_points(self) -> tuple[AttachPoint | FallbackChain, ...]:
        """Its programs, in the order in which they are attached."""

    def counters(self) -> tuple[Counters, ...]:
        """The maps that are read once per interval."""

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """The maps that are cleared for a slot before its next thread."""

    def tables(self, counted: Counted) -> list[Table]:
        """Its tables of a Run."""
