"""The threads of the machine: one pass of a BPF iterator over all tasks that this PID namespace shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from netprobe.engine.maps import Fields
from netprobe.engine.program_source import TASK_FIELDS
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.engine.program import Program

_RECORD = Fields(*TASK_FIELDS).struct


class Task(NamedTuple):
    """A thread. `tid`, `tgid` and `parent_tgid` as the kernel numbers them, `user_…` as this PID namespace does."""

    tid: int
    tgid: int
    parent_tgid: int
    user_tid: int
    user_tgid: int
    comm: bytes
    # How many times its process, and the processes that it was forked from, called exec.
    execs: int = 0
    # CPU time since its start; of a running thread, up to the last tick.
    run_ns: int = 0


@dataclass(frozen=True)
class Tasks:
    """All visible threads, and the PID namespace of their numbers."""

    tasks: Sequence[Task]
    pid_namespace: int
    pid_level: int


def read_tasks(program: Program) -> Tasks:
    """All threads that netprobe's PID namespace shows."""
    tasks, namespace, level = [], 0, 0
    for record in _RECORD.iter_unpack(program.iterate("bpf_iter__task")):
        namespace, level, tid, tgid, parent_tgid, user_tid, user_tgid, execs, _, run_ns, comm = record
        tasks.append(Task(tid, tgid, parent_tgid, user_tid, user_tgid, comm.rstrip(b"\0"), execs, run_ns))
    if not tasks:
        raise NetprobeError("The kernel's task iterator returned nothing.")
    return Tasks(tasks, namespace, level)


def processes_named(tasks: Iterable[Task], name: str) -> set[int]:
    """The tgids of processes with this name, or with a thread of this name."""
    comm = os.fsencode(name)[:15]
    return {task.tgid for task in tasks if task.comm == comm}


def processes_numbered(tasks: Iterable[Task], pids: Sequence[int]) -> set[int]:
    """The tgids of the processes with these PIDs; raises `NetprobeError` for a PID that is not a process."""
    by_user_tid = {task.user_tid: task for task in tasks}
    found = set()
    for pid in pids:
        task = by_user_tid.get(pid)
        if task is None:
            raise _no_such_process(pid)
        if task.user_tgid != pid:
            raise NetprobeError(
                f"{pid} is a thread of process {task.user_tgid}, not a process.",
                hint=f"Use -p {task.user_tgid}; --by thread shows its threads one by one.",
            )
        found.add(task.tgid)
    return found


def _no_such_process(pid: int) -> NetprobeError:
    if os.path.exists(f"/proc/{pid}"):
        return NetprobeError(f"Process {pid} exists, but this kernel does not show it to tracing programs.")
    return NetprobeError(f"There is no process {pid}.", hint="Look for the server's PID with `pgrep -a NAME`.")


def with_descendants(tasks: Iterable[Task], tgids: set[int]) -> set[int]:
    """The processes and all their descendants."""
    children: dict[int, set[int]] = {}
    for task in tasks:
        children.setdefault(task.parent_tgid, set()).add(task.tgid)
    found, new = set(tgids), list(tgids)
    while new:
        unseen = children.get(new.pop(), set()) - found
        found |= unseen
        new += unseen
    return found
