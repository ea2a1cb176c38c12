"""Observer of processes and mapped files while stacks are counted; symbolizes the stacks and makes a profile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from select import poll
from typing import TYPE_CHECKING

from flamegraph.frames import UNKNOWN, Frame, Kind
from netprobe.engine.address_spaces import AddressSpaces, ExecutableMapping, Life
from netprobe.engine.deferred import Deferred
from netprobe.engine.maps import HashReader, Numbers
from netprobe.engine.options import RecordOptions
from netprobe.engine.perf_events import RECORD_LOST, TaskEvents
from netprobe.engine.tasks import read_tasks
from netprobe.probes.base import Counted, TracedThread
from netprobe.probes.stacks import DEPTH_DROPPED, SAMPLES_DROPPED, STACK_DEPTH, STACKS_DROPPED, STACKS_MAP, WEIGHTS_MAP
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from flamegraph.builder import Builder
    from flamegraph.frames import Thread as Profiled
    from netprobe.engine.program import Program
    from netprobe.probes.base import Rows

    Addresses = npt.NDArray[np.uint64]
else:
    np = Deferred("numpy")

OFF_CPU = "off-cpu"
UNMAPPED = Frame(UNKNOWN, "", Kind.UNKNOWN)
# The leaf of every wait is the scheduler, and netprobe's own program above it: neither tells what is waited for.
_SWITCH = "__schedule"
_SCHEDULER = ("__schedule", "schedule", "io_schedule", "preempt_schedule", "__cond_resched")
_MAX_OWN_FRAMES = 8


@dataclass(frozen=True)
class _Stacks:
    """Addresses of each stack, leaf first, by its hash."""

    addresses: dict[int, Addresses] = field(default_factory=dict)

    def __getitem__(self, stack: int) -> Addresses:
        return self.addresses.get(stack, np.empty(0, np.uint64))


def observer(options: RecordOptions) -> StackObserver:
    """The observer of a recording of running threads."""
    return StackObserver(options.whole_machine or bool(options.comm))


class StackObserver:
    """Follows processes and mapped files from the start on; symbolizes addresses after the recording."""

    probe = "stacks"

    def __init__(self, everyone: bool, event: str = "") -> None:
        """`everyone`: any process may be counted, including later ones that are no descendants of the target.

        `event`: name of the weight, where it is not that of a sampling event.
        """
        self._everyone, self._event = everyone, event
        self._spaces = AddressSpaces(everyone)
        self._lost_events = 0
        self._stacks = _Stacks()
        self._dropped: dict[str, int] = {}
        self._stop = threading.Event()

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """Start to follow new processes, then read the existing ones."""
        self._events = TaskEvents()
        wanted = {thread.pid for thread in threads} | {suspended}
        for task in read_tasks(program).tasks:
            if task.tid == task.tgid and task.user_tgid and (self._everyone or task.user_tgid in wanted):
                self._spaces.count_from(task.user_tgid, task.execs)
                self._spaces.add_running(task.user_tgid)
        self._follower = threading.Thread(target=self._follow, name="netprobe-files", daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        waiting = poll()
        for fd in self._events.descriptors:
            waiting.register(fd)
        while not self._stop.is_set():
            waiting.poll(200)
            self._drain()

    def _drain(self) -> None:
        records = list(self._events.read())
        self._lost_events += sum(kind == RECORD_LOST for kind, _, _ in records)
        self._spaces.follow(records)

    def mark(self) -> None:
        """Nothing is read here."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Nothing: address spaces are read when stacks are."""

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Read the stacks from the kernel."""
        self._stop.set()
        self._follower.join()
        self._drain()
        self._events.close()
        reader = HashReader(program.map(STACKS_MAP), Numbers("u8"), Numbers("u8", (STACK_DEPTH,)))
        keys, values = reader.read()
        depths = (values != 0).sum(axis=1).tolist() if len(values) else []
        self._stacks = _Stacks(
            {key: value[:depth] for key, value, depth in zip(keys.tolist(), values, depths, strict=True)}
        )
        self._dropped = dict(program.dropped_counts())
        self._event = self._event or ("cycles" if "perf event cycles" in " ".join(program.attached()) else "cpu-clock")

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """The profile."""
        from flamegraph.builder import Builder
        from flamegraph.profile import Info

        intervals, rows = counted.rows(WEIGHTS_MAP)
        builder = Builder()
        naming = _Naming(self._spaces, self._stacks, counted.threads, self._event == OFF_CPU)
        naming.learn(rows)
        stack_of = naming.stacks(builder, rows)
        threads = [builder.thread(_profiled(thread)) for thread in counted.threads]
        samples, weights = rows["count"][:, 0].tolist(), rows["count"][:, 1].tolist()
        for index, (interval, thread) in enumerate(zip(intervals.tolist(), rows["thread"].tolist(), strict=True)):
            builder.add(stack_of[index], threads[thread], interval, count=samples[index], weight=weights[index])
        seconds = sum(interval.duration_s for interval in counted.intervals)
        info = Info(
            event=self._event,
            unit="cycles" if self._event == "cycles" else "ns",
            seconds=seconds,
            interval_s=seconds / len(counted.intervals) if counted.intervals else 0.0,
            intervals=max(1, len(counted.intervals)),
            lost=self._dropped.get(SAMPLES_DROPPED, 0),
            truncated=self._dropped.get(DEPTH_DROPPED, 0),
            notes=tuple(self._notes(naming)),
        )
        self._spaces.close()
        return profile_tables(builder.profile(info))

    def _notes(self, naming: _Naming) -> list[str]:
        notes = naming.notes()
        if self._event == "cpu-clock":
            notes.append(
                "Sampled by a timer, as the CPU's cycle counter is not available here: code that runs with interrupts "
                "off appears where it enables them again, as in _raw_spin_unlock_irqrestore."
            )
        if count := self._dropped.get(STACKS_DROPPED):
            notes.append(f"{STACKS_DROPPED.format(count=count)}.")
        if self._lost_events:
            notes.append("More processes came and went than could be followed: some frames may have no name.")
        return notes


def _profiled(thread: TracedThread) -> Profiled:
    from flamegraph.frames import Thread as Profiled

    return Profiled(thread.pid or -1, thread.tid or -1, thread.name)


class _Naming:
    """Symbolizes every address once, and builds the stacks."""

    def __init__(self, spaces: AddressSpaces, stacks: _Stacks, threads: Sequence[TracedThread], off_cpu: bool) -> None:
        from flamegraph.symbols.symbolizer import Symbolizer

        self._symbolizer = Symbolizer()
        self._spaces, self._stacks, self._threads = spaces, stacks, threads
        self._off_cpu = off_cpu
        self._kernel: dict[int, Frame] = {}
        self._user: dict[tuple[Life, int], Frame] = {}

    def learn(self, rows: Rows) -> None:
        """Symbolize all addresses in the stacks of these rows, file by file."""
        kernel = [_call_addresses(self._stacks[stack]) for stack in np.unique(rows["kernel_stack"]).tolist()]
        addresses = np.unique(np.concatenate([*kernel, np.empty(0, np.uint64)]))
        frames = self._symbolizer.kernel_frames(addresses)
        self._kernel = dict(zip(addresses.tolist(), frames, strict=True))
        by_life: dict[Life, set[int]] = {}
        for life, stack in self._user_stacks(rows):
            by_life.setdefault(life, set()).update(_call_addresses(self._stacks[stack]).tolist())
        self._learn_files(by_life)

    def _user_stacks(self, rows: Rows) -> set[tuple[Life, int]]:
        pids = [self._threads[number].pid for number in rows["thread"].tolist()]
        return {
            ((pid, execs), stack)
            for pid, execs, stack in zip(pids, rows["execs"].tolist(), rows["user_stack"].tolist(), strict=True)
            if stack
        }

    def _learn_files(self, by_life: dict[Life, set[int]]) -> None:
        from flamegraph.symbols.symbolizer import MappedFile

        places: dict[MappedFile, list[tuple[Life, int, int]]] = {}
        for life, addresses in by_life.items():
            space = self._spaces.space(*life)
            jit: list[int] = []
            for address in addresses:
                mapping = space.at(address)
                if mapping is None:
                    # Without frame pointers, the kernel takes data on the stack for return addresses.
                    self._user[life, address] = UNMAPPED
                    continue
                if not mapping.path.startswith(("/", "[")) or mapping.path.startswith("//"):
                    jit.append(address)
                    continue
                pid = None if mapping.path == "[vdso]" else life[0]
                file = MappedFile(mapping.path, None, pid, mapping.fd)
                places.setdefault(file, []).append((life, address, _offset(mapping, address)))
            self._learn_jit(life, jit)
        for file, found in places.items():
            frames = self._symbolizer.file_frames(file, np.array([offset for _, _, offset in found], np.int64))
            self._user |= {(life, address): frame for (life, address, _), frame in zip(found, frames, strict=True)}

    def _learn_jit(self, life: Life, addresses: list[int]) -> None:
        """Code in no file: that of a JIT compiler."""
        if not addresses:
            return
        frames = self._symbolizer.jit_frames(life[0], np.array(addresses, np.uint64))
        self._user |= {(life, address): frame for address, frame in zip(addresses, frames, strict=True)}

    def stacks(self, builder: Builder, rows: Rows) -> list[int]:
        """The number in the builder of the stack of each row."""
        known: dict[tuple[Life, int, int], int] = {}
        numbers: list[int] = []
        pids = [self._threads[number].pid for number in rows["thread"].tolist()]
        columns = (rows[name].tolist() for name in ("execs", "kernel_stack", "user_stack"))
        for pid, execs, kernel, user in zip(pids, *columns, strict=True):
            key = ((pid, execs), kernel, user)
            if key not in known:
                frames = [*self._user_frames((pid, execs), user), *self._kernel_frames(kernel)]
                known[key] = builder.stack([builder.frame(frame) for frame in frames])
            numbers.append(known[key])
        return numbers

    def _user_frames(self, life: Life, stack: int) -> list[Frame]:
        return [self._user[life, address] for address in reversed(_call_addresses(self._stacks[stack]).tolist())]

    def _kernel_frames(self, stack: int) -> list[Frame]:
        frames = [self._kernel[address] for address in _call_addresses(self._stacks[stack]).tolist()]
        if self._off_cpu:
            frames = _without_scheduler(frames)
        return frames[::-1]

    def notes(self) -> list[str]:
        """Sentences on frames without a name."""
        return list(self._symbolizer.notes())


def _without_scheduler(frames: list[Frame]) -> list[Frame]:
    """A stack, leaf first, without the functions of the scheduler at the leaf."""
    names = [frame.name for frame in frames]
    begin = names.index(_SWITCH) if _SWITCH in names[:_MAX_OWN_FRAMES] else 0
    end = begin
    while end < len(names) - 1 and names[end].startswith(_SCHEDULER):
        end += 1
    return frames[end:]


def _offset(mapping: ExecutableMapping, address: int) -> int:
    return address - mapping.start + mapping.offset


def _call_addresses(addresses: Addresses) -> Addresses:
    """Addresses to look up: a return address is behind the call, which may be the end of the function."""
    found = addresses.copy()
    found[1:] -= np.uint64(1)
    return found
