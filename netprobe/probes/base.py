"""What a probe tells the engine: its programs, its maps, what it can miss; and what its counters mean.

Probes import NumPy where they make tables: the engine loads it while their programs are being compiled.
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
    """What the running kernel's BTF can tell a probe."""

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

    `duty_cycled`: attached for a small part of each interval only, for what shows again and again. `frequent`: so many
    events that a recording in windows attaches it for these only.
    """

    function: str
    tracepoint: str
    duty_cycled: bool = False
    frequent: bool = False

    def __str__(self) -> str:
        return f"raw tracepoint {self.tracepoint}" + (", part of the time" if self.duty_cycled else "")


@dataclass(frozen=True)
class BtfTracepoint:
    """The same, with arguments typed by BTF: kernel structures can be read without a helper call."""

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
    """A function of the probe's C file, called `frequency` times a second on every CPU that is busy with `event`."""

    function: str
    event: str  # "cycles" or "cpu-clock"
    frequency: int

    def __str__(self) -> str:
        return f"perf event {self.event} at {self.frequency} Hz"


AttachPoint = RawTracepoint | BtfTracepoint | FunctionEntry | FunctionExit | Kprobe | PerfEvent


@dataclass(frozen=True)
class FallbackChain:
    """Several ways to see the same, best first: the first of which every point attaches is used and reported.

    `optional`: the probe is whole without it.
    """

    what: str
    mechanisms: tuple[tuple[str, tuple[AttachPoint, ...]], ...]
    optional: bool = False


@dataclass(frozen=True)
class ThreadCounters:
    """A memory-mapped array map: one row of `width` u64 counters for each thread slot.

    Its rows in an interval: (thread, cell, count), without the zeros.
    """

    map: str
    width: int


@dataclass(frozen=True)
class KeyedCounters:
    """A hash map whose key begins with the u32 slot of a thread, and whose value begins with counters.

    `key` and `extra` name the other u32 fields of the key and the fields behind the counters, as NumPy
    formats. Its rows in an interval: (thread, *key, count: u64[counters], *extra).
    """

    map: str
    key: tuple[tuple[str, str], ...]
    counters: int
    extra: tuple[tuple[str, str], ...] = ()


Counters = ThreadCounters | KeyedCounters


@dataclass(frozen=True)
class ThreadScratch:
    """A memory-mapped array map in which programs keep `words` u64 by thread slot, from one event to the next."""

    map: str
    words: int


@dataclass(frozen=True)
class Thread:
    """A traced thread; times in nanoseconds of the monotonic clock, tid and pid as the user sees them."""

    thread: int
    tid: int
    pid: int
    name: str
    process: str
    start_ns: int
    exit_ns: int
    cpus_allowed: str = ""


@dataclass(frozen=True)
class Interval:
    """What was counted in one stretch of time.

    Rows by map name, as the counters' classes describe them; and, for the whole machine, the context
    switches and forks that the kernel itself counted.
    """

    start_s: float
    duration_s: float
    rows: Mapping[str, Rows]
    machine_switches: int
    machine_forks: int


@dataclass
class Counted:
    """All that a recording counted, before a probe turns it into tables."""

    threads: Sequence[Thread]
    intervals: list[Interval] = field(default_factory=list)

    def rows(self, map_name: str) -> tuple[npt.NDArray[np.int64], Rows]:
        """Interval number of each row, and the rows, of one map over all intervals."""
        import numpy as np

        parts = [interval.rows[map_name] for interval in self.intervals]
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return numbers, np.concatenate(parts) if parts else np.empty(0, [("thread", "u4"), ("cell", "u4")])


class Probe(Protocol):
    """One C file's counterpart."""

    name: str
    source: str
    # Name of a DROPPED_… constant in the C file -> what the user is told, with {count}.
    dropped: Mapping[str, str]

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """The constants that its C file is compiled with."""

    def attach_points(self) -> tuple[AttachPoint | FallbackChain, ...]:
        """Its programs, in the order in which they are attached."""

    def counters(self) -> tuple[Counters, ...]:
        """The maps that are read once an interval."""

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """The maps to be zeroed for a slot before it gets another owner."""

    def tables(self, counted: Counted) -> list[Table]:
        """Its part of a Run."""
