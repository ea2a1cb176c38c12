"""System calls by thread; calls that can wait also by timeout; optionally failures and latency."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netprobe.probes import syscall_names
from netprobe.probes.base import (
    AttachPoint,
    Counted,
    Counters,
    KernelLayout,
    KeyedCounters,
    RawTracepoint,
    ThreadCounters,
    ThreadScratch,
)
from netprobe.probes.histogram import LOG_LINEAR_BUCKETS, bucket_start
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from netprobe.probes.base import Rows

# In the order of bpf/syscalls.c.
WAITS = (
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "io_uring_enter",
)  # fmt: skip
# The values of EPOLL_CTL_ADD, EPOLL_CTL_DEL and EPOLL_CTL_MOD in include/uapi/linux/eventpoll.h; 0 is none of them.
_EPOLL_OPERATIONS = ("invalid", "add", "delete", "modify")
_TIMEOUTS = ("zero", "infinite", "unreadable")
_LOG2_BUCKETS = 24
_CELLS_PER_WAIT = len(_TIMEOUTS) + 2 * _LOG2_BUCKETS
_SYSCALLS = 512
_TIMED_CALLS = 8192

# include/linux/errno.h: results inside the kernel, which programs never see.
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}

DROPPED = {
    "DROPPED_OTHER_CALL": "{count} calls through a 32-bit or unknown entry are not counted: their map was full",
    "DROPPED_FAILURE": "{count} failed calls are not counted as failed: their map was full",
    "DROPPED_LATENCY": "{count} calls are missing from the latencies: their map was full, or their threads had no slot",
}


@dataclass(frozen=True)
class SyscallOptions:
    """What to count in addition to calls; `only` names the system calls to count, empty: all."""

    failures: bool = False
    latency: bool = False
    only: tuple[str, ...] = ()


class Probe:
    """Counts every system call that a traced thread enters: about 30 ns per call more than an empty program."""

    name = "syscalls"
    source = "syscalls.c"
    optional = False
    dropped: Mapping[str, str] = DROPPED

    def __init__(self, options: SyscallOptions | None = None) -> None:
        self._options = options or SyscallOptions()

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Numbers of system calls on this architecture, and the options."""
        defines: dict[str, str | int] = {
            # A system call that the architecture does not have gets a number that never occurs.
            f"NR_{name.upper()}": syscall_names.native_number(name)
            for name in (*WAITS, "epoll_ctl")
        }
        defines["TASK_THREAD_INFO_STATUS"] = kernel.offset("task_struct", "thread_info.status")
        if self._options.only:
            numbers = [syscall_names.native_number(name) for name in self._options.only]
            defines["ONLY_SYSCALLS"] = " || ".join(f"number == {number}" for number in numbers)
        if self._options.failures or self._options.latency:
            defines["ON_SYS_EXIT"] = 1
        if self._options.latency:
            defines |= {"LATENCY": 1, "TIMED_CALLS": _TIMED_CALLS}
        return defines

    def attach_points(self) -> tuple[AttachPoint, ...]:
        """Entry; exit for failures and latency."""
        enter = RawTracepoint("on_sys_enter", "sys_enter", frequent=True)
        leave = RawTracepoint("on_sys_exit", "sys_exit")
        return (enter, leave) if self._options.failures or self._options.latency else (enter,)

    def counters(self) -> tuple[Counters, ...]:
        """Calls and waits by thread; the others by key."""
        counters: list[Counters] = [
            ThreadCounters("syscall_calls", _SYSCALLS),
            ThreadCounters("syscall_waits", len(WAITS) * _CELLS_PER_WAIT),
            ThreadCounters("epoll_changes", len(_EPOLL_OPERATIONS)),
            KeyedCounters("other_calls", (("number", "u4"), ("compat", "u4")), 1),
        ]
        if self._options.failures or self._options.latency:
            counters.append(KeyedCounters("failed_calls", (("number", "u4"), ("compat", "u4"), ("error", "u4")), 1))
        if self._options.latency:
            counters.append(
                KeyedCounters("syscall_latency", (("number", "u4"), ("compat", "u4")), 1 + LOG_LINEAR_BUCKETS)
            )
        return tuple(counters)

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """The system call that a thread is in."""
        used = self._options.failures or self._options.latency
        return (ThreadScratch("syscalls_in_flight", 2),) if used else ()

    def tables(self, counted: Counted) -> list[Table]:
        """Calls, timeouts and epoll_ctl by operation; with failures `syscall_errors`; with latency its two tables."""
        tables = [self._calls(counted), self._timeouts(counted), self._epoll_changes(counted)]
        if self._options.failures or self._options.latency:
            tables.append(self._errors(counted))
        if self._options.latency:
            tables += self._latency(counted)
        return tables

    def _calls(self, counted: Counted) -> Table:
        import numpy as np

        interval, native = counted.rows("syscall_calls")
        other_interval, other = counted.rows("other_calls")
        names = [syscall_names.native_name(number) for number in native["cell"].tolist()]
        names += _names(other)
        columns = _columns(
            counted, np.concatenate((interval, other_interval)), np.concatenate((native["thread"], other["thread"]))
        )
        calls = np.concatenate((native["count"], other["count"][:, 0]))
        return declared_table("syscalls", columns | {"syscall": names, "calls": calls})

    def _timeouts(self, counted: Counted) -> Table:
        """Calls by timeout; positive timeouts by the log2 of their microseconds, with their sum."""
        import numpy as np

        interval, rows = counted.rows("syscall_waits")
        cell = rows["cell"] % _CELLS_PER_WAIT
        # The cell behind each count has the sum of its timeouts.
        is_sum = (cell >= len(_TIMEOUTS)) & ((cell - len(_TIMEOUTS)) % 2 == 1)
        sums = {
            key: count
            for *key_parts, count in zip(
                interval[is_sum].tolist(),
                rows["thread"][is_sum].tolist(),
                (rows["cell"][is_sum] - 1).tolist(),
                rows["count"][is_sum].tolist(),
                strict=True,
            )
            if (key := tuple(key_parts))
        }
        keep = ~is_sum
        interval, rows, cell = interval[keep], rows[keep], cell[keep]
        keys = zip(interval.tolist(), rows["thread"].tolist(), rows["cell"].tolist(), strict=True)
        columns = _columns(counted, interval, rows["thread"])
        columns["syscall"] = [WAITS[number] for number in (rows["cell"] // _CELLS_PER_WAIT).tolist()]
        columns["timeout"] = [_TIMEOUTS[c] if c < len(_TIMEOUTS) else "positive" for c in cell.tolist()]
        columns["timeout_log2_us"] = np.where(cell < len(_TIMEOUTS), -1, (cell.astype(np.int64) - len(_TIMEOUTS)) // 2)
        columns["calls"] = rows["count"]
        columns["timeout_total_ns"] = [sums.get(key, 0) for key in keys]
        return declared_table("syscall_timeouts", columns)

    def _epoll_changes(self, counted: Counted) -> Table:
        interval, rows = counted.rows("epoll_changes")
        columns = _columns(counted, interval, rows["thread"])
        columns["operation"] = [_EPOLL_OPERATIONS[cell] for cell in rows["cell"].tolist()]
        columns["calls"] = rows["count"]
        return declared_table("epoll_changes", columns)

    def _errors(self, counted: Counted) -> Table:
        interval, rows = counted.rows("failed_calls")
        columns = _columns(counted, interval, rows["thread"])
        columns["syscall"] = _names(rows)
        columns["errno"] = [errno_name(number) for number in rows["error"].tolist()]
        columns["calls"] = rows["count"][:, 0]
        return declared_table("syscall_errors", columns)

    def _latency(self, counted: Counted) -> list[Table]:
        import numpy as np

        interval, rows = counted.rows("syscall_latency")
        columns = _columns(counted, interval, rows["thread"])
        names = np.array(_names(rows), object)
        totals = columns | {
            "syscall": names,
            "calls": rows["count"][:, 1:].sum(axis=1, dtype=np.uint64),
            "total_ns": rows["count"][:, 0],
        }
        which, buckets = np.nonzero(rows["count"][:, 1:])
        histogram = _columns(counted, interval[which], rows["thread"][which]) | {
            "syscall": names[which],
            "bucket_start_ns": [bucket_start(bucket) for bucket in buckets.tolist()],
            "calls": rows["count"][which, buckets + 1],
        }
        return [declared_table("syscall_latency", totals), declared_table("syscall_latency_histogram", histogram)]


def _names(rows: Rows) -> list[str]:
    """Names of system calls by number, and whether they came through a 32-bit entry."""
    pairs = zip(rows["number"].tolist(), rows["compat"].tolist(), strict=True)
    return [
        syscall_names.other_name(number, bool(compat))
        if compat or number >= _SYSCALLS
        else syscall_names.native_name(number)
        for number, compat in pairs
    ]


def errno_name(number: int) -> str:
    """ENOENT for 2; also the restart codes of the kernel, which errno(3) does not list."""
    return errno.errorcode.get(number) or _RESTARTS.get(number) or f"errno {number}"


def known_errno(name: str) -> str | None:
    """The name in the tables: EAGAIN for EWOULDBLOCK; None for a name that is no error."""
    upper = name.upper()
    if upper in _RESTARTS.values():
        return upper
    number = getattr(errno, upper, None)
    return errno.errorcode.get(number) if isinstance(number, int) else None


def _columns(counted: Counted, interval: npt.NDArray[Any], thread: npt.NDArray[Any]) -> dict[str, Any]:
    return {"interval": interval, **thread_columns(counted.threads, thread)}
