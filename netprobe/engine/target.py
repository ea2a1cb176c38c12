"""The traced threads: resolving them, assigning slots, following them, and reusing the slots of ended threads."""

from __future__ import annotations

import os
import struct
import time
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from netprobe.engine.deferred import Deferred
from netprobe.engine.maps import Fields, MappedArray, Numbers
from netprobe.engine.options import RecordOptions
from netprobe.engine.program import Program
from netprobe.engine.tasks import (
    Task,
    Tasks,
    processes_named,
    processes_numbered,
    read_tasks,
    with_descendants,
)
from netprobe.errors import NetprobeError
from netprobe.probes.base import TracedThread
from netprobe.probes.kernel_text import kernel_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Deferred("numpy")

# As in bpf/common.h.
OVERFLOW_SLOT = 1
_FIRST_THREAD_SLOT = 2
_UNTRACED = 0xFFFFFFFF
_THREAD = Fields(
    ("start_ns", "u8"),
    ("exit_ns", "u8"),
    ("run_before_ns", "u8"),
    ("delay_before_ns", "u8"),
    ("tid", "u4"),
    ("tgid", "u4"),
    ("user_tid", "u4"),
    ("user_tgid", "u4"),
    ("comm", "S16"),
)
_TID_OFFSET, _COMM_OFFSET = 32, 48
_NUMBER = struct.Struct("=I")
_CONFIG = Fields(("pid_namespace", "u8"), ("pid_level", "u4"), ("match_comm", "u4"), ("comm", "S16"))
# Slots that user space reserves for threads that appear between two reads of the task list.
_SPARE_SLOTS = 64
_MAX_READS = 20
# Slots of ended threads are reused before the interval ends when more than one slot in eight is of an ended thread.
_ENDED_SHARE = 8
OVERFLOW_NAME = "(other threads)"


class Target:
    """The traced threads. Rows of counters have a thread number, counted up from 0 and never reused.

    Thread 0 stands for all threads in the overflow slot.
    """

    def __init__(self, program: Program, options: RecordOptions, suspended_pid: int | None) -> None:
        self._program, self._options, self._suspended_pid = program, options, suspended_pid
        self._slots = program.slots
        self._slot_of = MappedArray(program.map("slot_of"), Numbers("u4"))
        self._threads = MappedArray(program.map("threads"), _THREAD)
        # -1: the slot has no thread.
        self._thread_of_slot = array("q", [-1]) * self._slots
        self._thread_of_slot[OVERFLOW_SLOT] = 0
        self._known: list[TracedThread] = [TracedThread(0, 0, 0, OVERFLOW_NAME, OVERFLOW_NAME, 0, 0)]
        self._leaders: dict[int, str] = {}
        self._ending: list[int] = []
        self._roots = self._resolve()

    # ---- Resolving ----

    def _resolve(self) -> set[int]:
        """The processes that the user means, as the kernel numbers them; writes what the programs must know."""
        self._seen = tasks = read_tasks(self._program)
        self._configure(tasks)
        roots = processes_numbered(tasks.tasks, self._options.pids)
        if self._options.comm:
            named = processes_named(tasks.tasks, self._options.comm)
            if not named:
                raise NetprobeError(
                    f"No process or thread is named {self._options.comm!r}.",
                    hint="See the names with `ps -eo pid,comm`; the kernel keeps 15 characters of each.",
                )
            roots |= named
        return roots

    def _configure(self, tasks: Tasks) -> None:
        config = MappedArray(self._program.map("config"), _CONFIG)
        name = os.fsencode(self._options.comm or "")[:15]
        _CONFIG.struct.pack_into(config.memory, 0, tasks.pid_namespace, tasks.pid_level, bool(name), name)
        config.close()

    def _wanted(self, tasks: Sequence[Task]) -> list[Task]:
        if self._options.whole_machine:
            return []
        tgids = with_descendants(tasks, self._roots)
        own = {task.tgid for task in tasks if task.user_tid == os.getpid()}
        return [task for task in tasks if task.tgid in tgids - own]

    # ---- Assigning slots ----

    def follow(self) -> None:
        """Attach the programs that follow forks, and assign a slot to every existing thread."""
        wanted = self._wanted(self._seen.tasks)
        reserved = min(self._slots, _FIRST_THREAD_SLOT + len(wanted) + _SPARE_SLOTS)
        if self._options.whole_machine:
            reserved = _FIRST_THREAD_SLOT
        self._fill_queue(range(reserved, self._slots))
        free = list(range(_FIRST_THREAD_SLOT, reserved))
        self._exclude_own(self._seen.tasks)
        self._program.attach_life_cycle()
        for _ in range(_MAX_READS):
            tasks = read_tasks(self._program).tasks
            self._leaders |= {task.tgid: kernel_text(task.comm) for task in tasks if task.tid == task.tgid}
            missing = [task for task in self._wanted(tasks) if not self._slot(task.tid)]
            if not missing:
                break
            for task in missing:
                self._assign(task, free.pop(0) if free else OVERFLOW_SLOT)
        self._slot_of_suspended = free.pop() if free and self._suspended_pid is not None else OVERFLOW_SLOT
        self._fill_queue(free)

    def _exclude_own(self, tasks: Sequence[Task]) -> None:
        """netprobe itself is never traced, and the suspended server not before its release."""
        for task in tasks:
            if task.user_tgid in (os.getpid(), self._suspended_pid):
                self._set_slot(task.tid, _UNTRACED)

    def trace_suspended(self) -> None:
        """Trace the suspended server from now on: its next system call is the exec."""
        for task in self._seen.tasks:
            if task.user_tid == self._suspended_pid:
                self._assign(task, self._slot_of_suspended)

    def _assign(self, task: Task, slot: int) -> None:
        if slot != OVERFLOW_SLOT:
            before = _schedstat(task.user_tid)
            numbers = (task.tid, task.tgid, task.user_tid, task.user_tgid)
            thread = (time.monotonic_ns(), 0, *before, *numbers, task.comm)
            _THREAD.struct.pack_into(self._threads.memory, slot * self._threads.stride, *thread)
        self._set_slot(task.tid, slot)

    def _slot(self, tid: int) -> int:
        (slot,) = _NUMBER.unpack_from(self._slot_of.memory, tid * self._slot_of.stride)
        return int(slot)

    def _set_slot(self, tid: int, slot: int) -> None:
        _NUMBER.pack_into(self._slot_of.memory, tid * self._slot_of.stride, slot)

    def _fill_queue(self, slots: Iterable[int]) -> None:
        self._program.append("free_slots", slots)

    # ---- Following ----

    @cached_property
    def thread_of_slot(self) -> npt.NDArray[np.int64]:
        """The number of the thread that has each slot now; -1: none."""
        return np.frombuffer(self._thread_of_slot, np.int64)

    def slots_in_use(self) -> list[int]:
        """The overflow slot, and the slots that have a thread now; new threads get their number here."""
        words = self._threads.stride // _NUMBER.size
        numbers = memoryview(self._threads.memory).cast("I")[_TID_OFFSET // _NUMBER.size :: words]
        slots = [slot for slot, tid in enumerate(numbers.tolist()[: self._slots]) if tid and slot != OVERFLOW_SLOT]
        for slot in slots:
            if self._thread_of_slot[slot] < 0:
                self._thread_of_slot[slot] = len(self._known)
                self._known.append(self._describe(slot))
        return [OVERFLOW_SLOT, *slots]

    def used_slots(self) -> npt.NDArray[np.int64]:
        """The same as an array."""
        return np.array(self.slots_in_use(), np.int64)

    def before_slot(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """When threads got these slots, and how long each had run and waited for a CPU before: int64[len(slots), 3]."""
        names = ("start_ns", "run_before_ns", "delay_before_ns")
        return np.stack([self._threads.view[name][slots].astype(np.int64) for name in names], axis=1)

    def slots_run_short(self) -> bool:
        """Whether so many threads have ended that new ones may find no slot before the interval ends."""
        return int(np.count_nonzero(self._threads.view["exit_ns"])) * _ENDED_SHARE > self._slots

    def alive(self) -> bool:
        """Whether any traced thread still lives."""
        taken = self._threads.view["tid"] != 0
        return bool((taken & (self._threads.view["exit_ns"] == 0)).any())

    def release_ended(self) -> list[int]:
        """Slots whose threads had ended an interval ago: their counters do not change any more."""
        taken = self._threads.view
        # An exec in another thread revives the first thread of the process.
        ready = [slot for slot in self._ending if taken["exit_ns"][slot]]
        for slot in ready:
            number = self._thread_of_slot[slot]
            self._known[number] = self._describe(slot, number)
            self._thread_of_slot[slot] = -1
            taken[slot] = np.zeros(1, taken.dtype)[0]
        self._ending = np.flatnonzero((taken["tid"] != 0) & (taken["exit_ns"] != 0)).tolist()
        return ready

    def reuse(self, slots: Sequence[int]) -> None:
        """Make slots available to new threads, once all counters in them are zero."""
        self._fill_queue(slots)

    def _describe(self, slot: int, number: int | None = None) -> TracedThread:
        start_ns, exit_ns, _, _, tid, tgid, user_tid, user_tgid, comm = _THREAD.struct.unpack(self._threads.copy(slot))
        name = kernel_text(comm.rstrip(b"\0"))
        if tid == tgid:
            self._leaders[tgid] = name
        return TracedThread(
            thread=len(self._known) if number is None else number,
            tid=user_tid,
            pid=user_tgid,
            name=name,
            process=self._leaders.get(tgid, name),
            start_ns=start_ns,
            exit_ns=exit_ns,
        )

    def known(self) -> list[TracedThread]:
        """Every thread that was traced so far, with the name that it had at first."""
        return self._known

    def describe_all(self) -> list[TracedThread]:
        """Every thread that was traced, with its last name and, if it is alive, the CPUs that it may run on."""
        names = {task.tid: task.comm for task in read_tasks(self._program).tasks}
        used = self.slots_in_use()[1:]
        for slot in used:
            _, exit_ns, _, _, tid, tgid, _, _, comm = _THREAD.struct.unpack(self._threads.copy(slot))
            if not exit_ns and tid in names:
                comm = names[tid]
                place = slot * self._threads.stride + _COMM_OFFSET
                self._threads.memory[place : place + 16] = comm.ljust(16, b"\0")
            if tid == tgid:
                self._leaders[tgid] = kernel_text(comm.rstrip(b"\0"))
        for slot in used:
            number = self._thread_of_slot[slot]
            self._known[number] = _with_affinity(self._describe(slot, number))
        return self._known

    def close(self) -> None:
        """Unmap the memory shared with the kernel."""
        self._slot_of.close()
        self._threads.close()


def _schedstat(tid: int) -> tuple[int, int]:
    """How long a thread has run and waited for a CPU, in nanoseconds; zeros if it has ended."""
    try:
        with open(f"/proc/{tid}/schedstat") as file:
            run_ns, delay_ns = map(int, file.read().split()[:2])
    except OSError:
        return 0, 0
    return run_ns, delay_ns


def _with_affinity(thread: TracedThread) -> TracedThread:
    from dataclasses import replace

    if thread.exit_ns or not thread.tid:
        return thread
    try:
        cpus = sorted(os.sched_getaffinity(thread.tid))
    except OSError:
        return thread
    return replace(thread, cpus_allowed=cpu_list(cpus))


def cpu_list(cpus: Sequence[int]) -> str:
    """CPUs in the kernel's list format: 0-3,8."""
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
