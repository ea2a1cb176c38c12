"""The C source of a program: constants of kernel and options, the common part, the file of each probe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from netprobe.engine.btf import KernelTypes
from netprobe.engine.options import RecordOptions
from netprobe.errors import NotPossibleHereError
from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    FallbackChain,
    FunctionEntry,
    FunctionExit,
    Probe,
    TaskIterator,
    ThreadTimes,
)
from netprobe.probes.histogram import LOG_LINEAR_BUCKETS
from netprobe.resources import resource

# PROC_PID_INIT_INO in include/linux/proc_ns.h; PID_MAX_LIMIT in include/linux/threads.h, for 64 bits.
_INITIAL_PID_NAMESPACE, _PID_MAX_LIMIT = 0xEFFFFFFC, 4 * 1024 * 1024
THREAD_DROPPED = {
    "DROPPED_THREAD": "{count} new threads found no free slot: their events are in the totals, under no thread's name"
}

# Iterators of BPF_ITER(name) in bpf/, by the name that BCC gives the function.
ITERATORS = tuple(TaskIterator(f"bpf_iter__{name}", f"bpf_iter_{name}") for name in ("task", "tcp", "udp"))

# struct task_record in bpf/common.h, which is compiled with its size.
TASK_FIELDS = (
    ("pid_namespace", "u8"),
    ("pid_level", "u4"),
    ("tid", "u4"),
    ("tgid", "u4"),
    ("parent_tgid", "u4"),
    ("user_tid", "u4"),
    ("user_tgid", "u4"),
    ("execs", "u4"),
    ("unused", "u4"),
    ("run_ns", "u8"),
    ("comm", "S16"),
)
TASK_RECORD_SIZE = sum(int(kind[1:]) for _, kind in TASK_FIELDS)


def pid_limit() -> int:
    """One more than the largest thread number, as the kernel itself numbers threads.

    pid_max belongs to the PID namespace since 6.14 (commit 7863dcc72d0f): only the initial namespace shows the limit.
    """
    if os.stat("/proc/self/ns/pid").st_ino != _INITIAL_PID_NAMESPACE:
        return _PID_MAX_LIMIT
    return int(Path("/proc/sys/kernel/pid_max").read_text()) + 1


def slots_for(options: RecordOptions) -> int:
    """Number of per-thread slots: twice the present threads of the machine, within a limit of memory.

    A slot takes about 8 KiB in the kernel with both counting probes.
    """
    if options.slots:
        return options.slots
    threads = int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])
    limit = 16384 if options.whole_machine else 4096
    return min(limit, max(1024, 1 << (2 * threads).bit_length()))


def _life_cycle_defines(btf: KernelTypes) -> dict[str, str | int]:
    return {
        "TASK_PID": btf.offset("task_struct", "pid"),
        "TASK_TGID": btf.offset("task_struct", "tgid"),
        "TASK_COMM": btf.offset("task_struct", "comm"),
        "TASK_GROUP_LEADER": btf.offset("task_struct", "group_leader"),
        "TASK_RUN": btf.offset("task_struct", "se.sum_exec_runtime"),
        "TASK_EXECS": btf.offset("task_struct", "self_exec_id"),
        "TASK_REAL_PARENT": btf.offset("task_struct", "real_parent"),
        "TASK_THREAD_PID": btf.offset("task_struct", "thread_pid"),
        "PID_LEVEL": btf.offset("pid", "level"),
        "PID_NUMBERS": btf.offset("pid", "numbers"),
        "SIZEOF_UPID": btf.size("upid"),
        "UPID_NR": btf.offset("upid", "nr"),
        "UPID_NS": btf.offset("upid", "ns"),
        "LOG_LINEAR_BUCKETS": LOG_LINEAR_BUCKETS,
        "TASK_RECORD_SIZE": TASK_RECORD_SIZE,
    }


class ProgramText(NamedTuple):
    """The C source, and the BTF ids of what typed programs attach to."""

    source: str
    btf_ids: Mapping[AttachPoint | TaskIterator, int]


def program_text(
    probes: Sequence[Probe], options: RecordOptions, slots: int, pid_max: int, btf: KernelTypes
) -> ProgramText:
    """All that depends on the types of the running kernel."""
    return ProgramText(source_of(probes, options, slots, pid_max, btf), _btf_ids(probes, btf))


def source_of(probes: Sequence[Probe], options: RecordOptions, slots: int, pid_max: int, btf: KernelTypes) -> str:
    """The C source."""
    defines = _life_cycle_defines(btf) | {"SLOTS": slots, "PID_MAX": pid_max}
    if options.whole_machine:
        defines["WHOLE_MACHINE"] = 1
    if options.duty_cycled:
        defines["WINDOWS"] = 1
    dropped = list(THREAD_DROPPED)
    for probe in probes:
        defines |= probe.defines(btf)
        dropped += probe.dropped
    defines |= {name: index for index, name in enumerate(dropped)} | {"DROPPED_KINDS": len(dropped)}
    folder = resource("bpf")
    files = [folder / "common.h", *(folder / probe.source for probe in probes)]
    parts = [f"#define {name} {value}\n" for name, value in defines.items()]
    parts += [f'#line 1 "{path.name}"\n{path.read_text()}' for path in files]
    return "".join(parts)


def all_points(probes: Sequence[Probe]) -> Iterator[AttachPoint]:
    """The attach points of these probes, with all mechanisms of fallback chains."""
    for probe in probes:
        for point in probe.attach_points():
            if isinstance(point, FallbackChain):
                for _, points in point.mechanisms:
                    yield from points
            else:
                yield point


def _iterators(probes: Sequence[Probe]) -> Iterator[TaskIterator]:
    yield from ITERATORS
    for probe in probes:
        yield from (counters.iterator for counters in probe.counters() if isinstance(counters, ThreadTimes))


def _btf_ids(probes: Sequence[Probe], btf: KernelTypes) -> dict[AttachPoint | TaskIterator, int]:
    """BTF ids of the tracepoints and functions that typed programs attach to, where this kernel has them."""
    ids: dict[AttachPoint | TaskIterator, int] = {}
    for point in (*all_points(probes), *_iterators(probes)):
        with suppress(NotPossibleHereError):
            if isinstance(point, BtfTracepoint):
                ids[point] = btf.raw_tracepoint_id(point.tracepoint)
            elif isinstance(point, FunctionEntry | FunctionExit | TaskIterator):
                ids[point] = btf.function_id(point.kernel_function)
    return ids
