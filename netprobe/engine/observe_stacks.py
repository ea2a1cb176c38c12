"""Observes what the addresses of stacks mean while they are counted, and makes a profile of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from select import poll
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flamegraph.frames import UNKNOWN, Frame, Kind
from netprobe.engine.address_spaces import AddressSpaces, Life, Mapping
from netprobe.engine.maps import HashReader
from netprobe.engine.perf_events import RECORD_LOST, TaskEvents
from netprobe.engine.tasks import read_tasks
from netprobe.probes.base import Counted, Thread
from netprobe.probes.stacks import DEPTH_DROPPED, SAMPLES_DROPPED, STACK_DEPTH, STACKS_DROPPED, STACKS_MAP, WEIGHTS_MAP
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table

if TYPE_CHECKING:
    from flamegraph.builder import Builder
    from flamegraph.frames import Thread as Profiled
    from netprobe.engine.program import Program
    from netprobe.probes.base import Rows

Addresses = npt.NDArray[np.uint64]

OFF_CPU = "off-cpu"
NOWHERE = Frame(UNKNOWN, "", Kind.UNKNOWN)
# Every wait ends in the scheduler, and above that in netprobe's own program: neither says what is waited for.
_SWITCH = "__schedule"
_SCHEDULER = ("__schedule", "schedule", "io_schedule", "preempt_schedule", "__cond_resched")
_MOST_OWN_FRAMES = 8


@dataclass(frozen=True)
class _Stacks:
    """Addresses of each stack, leaf first, by its hash."""

    addresses: dict[int, Addresses] = field(default_factory=dict)

    def __getitem__(self, stack: int) -> Addresses:
        return self.addresses.get(stack, np.empty(0, np.uint64))


class StackObserver:
    """Follows processes and files from the first moment on; names addresses when the recording is over."""

    probe = "stacks"

    def __init__(self, everyone: bool, event: str = "") -> None:
        """`everyone`: any process may be counted, also one that comes later and descends from none of the target's.

        `event`: what the weight is, where it is not a sampling event's.
        """
        self._everyone, self._event = everyone, event
        self._spaces = AddressSpaces(everyone)
        self._lost_events = 0
        self._stacks = _Stacks()
        self._dropped: dict[str, int] = {}
        self._stop = threading.Event()

    def begin(self, program: Program, threads: Sequence[Thread], held: int | None) -> None:
        """Start to follow, then look at who is there already."""
        self._events = TaskEvents()
        wanted = {thread.pid for thread in threads} | {held}
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
        """Nothing is read at the window's edges."""

    def end(self, program: Program, threads: Sequence[Thread]) -> None:
        """Take the stacks out of the kernel."""
        self._stop.set()
        self._follower.join()
        self._drain()
        self._events.close()
        reader = HashReader(
            program.map_fd(STACKS_MAP), program.map_entries(STACKS_MAP), "u8", np.dtype(("u8", (STACK_DEPTH,)))
        )
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
                "off appears where it lets them in again, as in _raw_spin_unlock_irqrestore."
            )
        if count := self._dropped.get(STACKS_DROPPED):
            notes.append(f"{STACKS_DROPPED.format(count=count)}.")
        if self._lost_events:
            notes.append("More processes came and went than could be followed: some frames may have no name.")
        return notes


def _profiled(thread: Thread) -> Profiled:
    from flamegraph.frames import Thread as Profiled

    return Profiled(thread.pid or -1, thread.tid or -1, thread.name)


class _Naming:
    """Names every address that occurs, each once, and puts stacks together from them."""

    def __init__(self, spaces: AddressSpaces, stacks: _Stacks, threads: Sequence[Thread], off_cpu: bool) -> None:
        from flamegraph.symbols.symboliser import Symboliser

        self._symboliser = Symboliser()
        self._spaces, self._stacks, self._threads = spaces, stacks, threads
        self._off_cpu = off_cpu
        self._kernel: dict[int, Frame] = {}
        self._user: dict[tuple[Life, int], Frame] = {}

    def learn(self, rows: Rows) -> None:
        """Name all addresses of these rows' stacks, file by file."""
        kernel = [_looked_up(self._stacks[stack]) for stack in np.unique(rows["kernel_stack"]).tolist()]
        addresses = np.unique(np.concatenate([*kernel, np.empty(0, np.uint64)]))
        frames = self._symboliser.kernel_frames(addresses)
        self._kernel = dict(zip(addresses.tolist(), frames, strict=True))
        by_life: dict[Life, set[int]] = {}
        for life, stack in self._user_stacks(rows):
            by_life.setdefault(life, set()).update(_looked_up(self._stacks[stack]).tolist())
        self._learn_files(by_life)

    def _user_stacks(self, rows: Rows) -> set[tuple[Life, int]]:
        pids = [self._threads[number].pid for number in rows["thread"].tolist()]
        return {
            ((pid, execs), stack)
            for pid, execs, stack in zip(pids, rows["execs"].tolist(), rows["user_stack"].tolist(), strict=True)
            if stack
        }

    def _learn_files(self, by_life: dict[Life, set[int]]) -> None:
        from flamegraph.symbols.symboliser import MappedFile

        places: dict[MappedFile, list[tuple[Life, int, int]]] = {}
        for life, addresses in by_life.items():
            space = self._spaces.space(*life)
            written: list[int] = []
            for address in addresses:
                mapping = space.at(address)
                if mapping is None:
                    # Without frame pointers the kernel takes what lies on the stack for a caller.
                    self._user[life, address] = NOWHERE
                    continue
                if not mapping.path.startswith(("/", "[")) or mapping.path.startswith("//"):
                    written.append(address)
                    continue
                pid = None if mapping.path == "[vdso]" else life[0]
                file = MappedFile(mapping.path, None, pid, mapping.held)
                places.setdefault(file, []).append((life, address, _offset(mapping, address)))
            self._learn_written(life, written)
        for file, found in places.items():
            frames = self._symboliser.file_frames(file, np.array([offset for _, _, offset in found], np.int64))
            self._user |= {(life, address): frame for (life, address, _), frame in zip(found, frames, strict=True)}

    def _learn_written(self, life: Life, addresses: list[int]) -> None:
        """Code that no file holds: a JIT's."""
        if not addresses:
            return
        frames = self._symboliser.jit_frames(life[0], np.array(addresses, np.uint64))
        self._user |= {(life, address): frame for address, frame in zip(addresses, frames, strict=True)}

    def stacks(self, builder: Builder, rows: Rows) -> list[int]:
        """The builder's number of each row's stack."""
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
        return [self._user[life, address] for address in reversed(_looked_up(self._stacks[stack]).tolist())]

    def _kernel_frames(self, stack: int) -> list[Frame]:
        frames = [self._kernel[address] for address in _looked_up(self._stacks[stack]).tolist()]
        if self._off_cpu:
            frames = _from_the_wait_on(frames)
        return frames[::-1]

    def notes(self) -> list[str]:
        """What has no name, and why."""
        return list(self._symboliser.notes())


def _from_the_wait_on(frames: list[Frame]) -> list[Frame]:
    """A stack, leaf first, without the scheduler's functions at its leaf."""
    names = [frame.name for frame in frames]
    begin = names.index(_SWITCH) if _SWITCH in names[:_MOST_OWN_FRAMES] else 0
    end = begin
    while end < len(names) - 1 and names[end].startswith(_SCHEDULER):
        end += 1
    return frames[end:]


def _offset(mapping: Mapping, address: int) -> int:
    return address - mapping.start + mapping.offset


def _looked_up(addresses: Addresses) -> Addresses:
    """A caller's address is where it goes on: the call itself stands before it."""
    found = addresses.copy()
    found[1:] -= np.uint64(1)
    return found
