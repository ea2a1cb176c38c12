"""The time of each thread by state: running, runnable, or asleep by system call, object and waker."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from netprobe.probes import syscall_names
from netprobe.probes.base import (
    AttachPoint,
    BtfTracepoint,
    Counted,
    Counters,
    KernelLayout,
    KeyedCounters,
    PerfEvent,
    TaskIterator,
    ThreadCounters,
    ThreadScratch,
    ThreadTimes,
)
from netprobe.probes.kernel_text import kernel_text
from netprobe.probes.threads import thread_columns
from netprobe.run.table import Table, declared_table

# Calls whose first argument is a descriptor, of a socket or of another file.
_WITH_FD = (
    "read", "write", "pread64", "pwrite64", "readv", "writev", "connect", "accept", "accept4", "sendto", "recvfrom",
    "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "preadv", "pwritev", "preadv2", "pwritev2", "shutdown", "close",
)  # fmt: skip
# Calls whose first argument is an array of struct pollfd.
_POLL = ("poll", "ppoll")
_OTHERS = (
    "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "futex_wait", "futex_waitv",
    "nanosleep", "clock_nanosleep", "pause", "rt_sigtimedwait", "rt_sigsuspend", "sched_yield", "restart_syscall",
    "io_uring_enter", "io_getevents", "io_pgetevents", "io_submit", "wait4", "waitid", "fsync", "fdatasync", "msync",
    "sync_file_range", "sync", "syncfs", "fallocate", "ftruncate", "truncate", "open", "openat", "openat2", "stat",
    "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "getdents64", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "sendfile", "splice", "tee", "vmsplice",
    "copy_file_range", "readahead", "fadvise64", "flock", "fcntl", "ioctl", "semop", "semtimedop", "msgrcv", "msgsnd",
    "mq_timedreceive", "mq_timedsend", "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "clone", "clone3",
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "bpf", "ptrace", "process_vm_readv", "mount",
    "membarrier", "epoll_ctl", "setsockopt", "getsockopt",
)  # fmt: skip
CALLS = _WITH_FD + _POLL + _OTHERS
# The reasons that follow the system calls, in the order of bpf/thread_time.c.
_NO_CALL, _STOPPED, _IO_WORKER, _OTHER = "page fault", "stopped", "io_uring worker", "other"
REASONS = (*CALLS, _NO_CALL, _STOPPED, _IO_WORKER, _OTHER)
OBJECTS = ("", "connected", "accepted", "listener", "datagram", "unix", "socket", "pipe", "file", "other file", "lock")
WAKERS = ("unknown", "hrtimer", "timer", "interrupt", "thread")
_SLEEP_OBJECTS, _WAKERS = 16384, 16384
MODES = ("user", "kernel", "page_fault", "interrupt")
_CALL_NUMBERS = 512
PAGE_FAULT_ENTRY = "asm_exc_page_fault"
# Maximum stack depth at which a page fault is recognized; its entry is the outermost frame.
_ENTRY_DEPTH = 32
_THREAD_SIZE = 16384


def _reasons_by_call() -> tuple[int, ...]:
    """For each system call number of this architecture, the position of its reason in `REASONS`."""
    numbers = [REASONS.index(_OTHER)] * _CALL_NUMBERS
    for position, name in enumerate(CALLS):
        number = syscall_names.native_number(name)
        if 0 <= number < _CALL_NUMBERS:
            numbers[number] = position
    return tuple(numbers)


class Probe:
    """Times every sleep of the traced threads; run and run delay are the kernel's own sums."""

    name = "thread_time"
    source = "thread_time.c"
    optional = True
    dropped: Mapping[str, str] = {
        "DROPPED_SLEEP_OBJECT": "{count} sleeps are counted without their socket or file: the map was full",
        "DROPPED_WAKER": "{count} wake-ups are counted without their waker: the map was full",
    }

    def __init__(self, frequency: int = 0) -> None:
        """`frequency`: samples per second and CPU, which count the mode in which a thread runs (user, kernel …).

        0: this probe takes no samples; those of the probe `stacks` are used if it is attached.
        """
        self._frequency = frequency

    def defines(self, kernel: KernelLayout) -> dict[str, str | int]:
        """Offsets in the kernel's structures, sizes, and how this kernel passes the state of the previous thread."""
        field = kernel.offset
        delayed = kernel.has_field("sched_entity", "sched_delayed")
        return {
            "SLEEP_CALLS": len(CALLS),
            "SLEEP_CALLS_WITH_FD": len(_WITH_FD),
            "SLEEP_CALLS_POLL": len(_WITH_FD) + len(_POLL),
            # futex and futex_wait, one after the other.
            "SLEEP_CALL_FUTEX": CALLS.index("futex"),
            "SLEEP_OBJECTS": _SLEEP_OBJECTS,
            "WAKERS": _WAKERS,
            "THREAD_SIZE": _THREAD_SIZE,
            "PREVIOUS_STATE": kernel.switch_state,
            "TASK_STACK": field("task_struct", "stack"),
            "TASK_FLAGS": field("task_struct", "flags"),
            "TASK_FILES": field("task_struct", "files"),
            "TASK_ON_CPU": field("task_struct", "on_cpu"),
            "TASK_ON_RQ": field("task_struct", "on_rq"),
            "TASK_STATE": field("task_struct", "__state"),
            "TASK_RUN_DELAY": field("task_struct", "sched_info.run_delay"),
            "TASK_LAST_ARRIVAL": field("task_struct", "sched_info.last_arrival"),
            "TASK_LAST_QUEUED": field("task_struct", "sched_info.last_queued"),
            # 6.12 and newer: a thread that sleeps may stay on its run queue for a while (EEVDF's delayed dequeue).
            "DEQUEUE_DELAYED": (f"(u8)read_u32(task + {field('task_struct', 'se.sched_delayed')})" if delayed else 0),
            "FILES_FDT": field("files_struct", "fdt"),
            "FDT_MAX_FDS": field("fdtable", "max_fds"),
            "FDT_FD": field("fdtable", "fd"),
            "FILE_INODE": field("file", "f_inode"),
            "FILE_PRIVATE": field("file", "private_data"),
            "INODE_MODE": field("inode", "i_mode"),
            "SOCKET_SK": field("socket", "sk"),
            "SK_TYPE": field("sock", "sk_type"),
            "SK_BIND_HASH": field("inet_connection_sock", "icsk_bind_hash"),
            "SK_REMOTE_V6": field("sock_common", "skc_v6_daddr"),
            "BUCKET_FASTREUSE": field("inet_bind_bucket", "fastreuse"),
            **dict(zip(("PAGE_FAULT_ENTRY", "PAGE_FAULT_ENTRY_SIZE"), _page_fault_entry(), strict=True)),
            "ENTRY_DEPTH": _ENTRY_DEPTH,
            # Linux 5.15 and newer have this helper.
            **({"SAMPLE_MODES": 1} if kernel.has_function("bpf_task_pt_regs") else {}),
            **({"SAMPLE_MODES_ALONE": 1} if self._frequency else {}),
        }

    def attach_points(self) -> tuple[AttachPoint, ...]:
        """Switches, wake-ups and expiring timers; samples for the modes."""
        return (
            BtfTracepoint("on_time_switch", "sched_switch", frequent=True),
            BtfTracepoint("on_time_wakeup", "sched_wakeup", frequent=True),
            BtfTracepoint("on_time_wakeup_new", "sched_wakeup_new", frequent=True),
            BtfTracepoint("on_time_waking", "sched_waking", frequent=True),
            BtfTracepoint("on_hrtimer", "hrtimer_expire_entry", frequent=True),
            BtfTracepoint("on_timer_exit", "hrtimer_expire_exit", frequent=True),
            BtfTracepoint("on_timer", "timer_expire_entry", frequent=True),
            BtfTracepoint("on_timer_exit", "timer_expire_exit", frequent=True),
            *((PerfEvent("on_mode_sample", "cpu-clock", self._frequency),) if self._frequency else ()),
        )

    def counters(self) -> tuple[Counters, ...]:
        """Times by state; samples by mode; sleeps by socket or file; wake-ups by waker."""
        object_key = (("reason", "u4"), ("kind", "u4"), ("port", "u4"), *((f"address_{n}", "u4") for n in range(4)))
        return (
            ThreadTimes(
                map="thread_times",
                sleeps="thread_sleeps",
                iterator=TaskIterator("read_thread_times"),
                reason_of_call="reason_of_call",
                reasons_by_call=_reasons_by_call(),
                reasons=len(REASONS),
                cells=3 + len(WAKERS),
            ),
            ThreadCounters("sample_modes", len(MODES)),
            KeyedCounters("sleep_objects", object_key, 2),
            KeyedCounters("wakers", (("waker_tid", "u4"),), 1, (("user_tid", "u8"), ("comm", "S16"))),
        )

    def scratch(self) -> tuple[ThreadScratch, ...]:
        """None: `ThreadTimesReader` resets the maps of this probe."""
        return ()

    def tables(self, counted: Counted) -> list[Table]:
        """`thread_time`, `sleep_objects`, `wakers`, `sample_modes`."""
        return [self._times(counted), self._objects(counted), self._wakers(counted), self._modes(counted)]

    def _times(self, counted: Counted) -> Table:
        import numpy as np

        interval, rows = counted.rows("thread_times")
        states = np.array(["asleep"] * len(REASONS) + ["running", "runnable", "alive"], object)
        reasons = np.array([*REASONS, "", "", ""], object)
        counts = rows["count"].reshape(len(rows), 3 + len(WAKERS))
        columns = {
            "interval": interval,
            **thread_columns(counted.threads, rows["thread"]),
            "state": states[rows["state"]],
            "reason": reasons[rows["state"]],
            "total_ns": counts[:, 0],
            "sleeps": counts[:, 1],
            "uninterruptible_ns": counts[:, 2],
        }
        columns |= {f"woken_by_{name}": counts[:, 3 + place] for place, name in enumerate(WAKERS)}
        return declared_table("thread_time", columns)

    def _objects(self, counted: Counted) -> Table:
        import numpy as np

        interval, rows = counted.rows("sleep_objects")
        kinds = [OBJECTS[kind] for kind in rows["kind"].tolist()]
        parts = zip(*(rows[f"address_{place}"].tolist() for place in range(4)), strict=True)
        addresses = [
            hex(row[0] | row[1] << 32) if kind == "lock" else _address(row)
            for kind, row in zip(kinds, parts, strict=True)
        ]
        return declared_table(
            "sleep_objects",
            {
                "interval": interval,
                **thread_columns(counted.threads, rows["thread"]),
                "reason": np.array(REASONS, object)[rows["reason"]],
                "object": kinds,
                "address": addresses,
                "port": rows["port"],
                "sleeps": rows["count"][:, 1],
                "total_ns": rows["count"][:, 0],
            },
        )

    def _wakers(self, counted: Counted) -> Table:
        interval, rows = counted.rows("wakers")
        # The map has the waker's name at the first wake-up; for a traced thread, its last name is more recent.
        last_names = {thread.tid: thread.name for thread in counted.threads if thread.tid}
        return declared_table(
            "wakers",
            {
                "interval": interval,
                **thread_columns(counted.threads, rows["thread"]),
                "waker_tid": rows["user_tid"],
                "waker_thread": [
                    last_names.get(tid) or kernel_text(name)
                    for tid, name in zip(rows["user_tid"].tolist(), rows["comm"].tolist(), strict=True)
                ],
                "wakeups": rows["count"][:, 0],
            },
        )

    def _modes(self, counted: Counted) -> Table:
        import numpy as np

        interval, rows = counted.rows("sample_modes")
        key = interval * (len(counted.threads) + 1) + rows["thread"]
        unique, first, place = np.unique(key, return_index=True, return_inverse=True)
        counts = np.zeros((len(unique), len(MODES)), np.int64)
        counts[place, rows["cell"]] = rows["count"]
        columns = {"interval": interval[first], **thread_columns(counted.threads, rows["thread"][first])}
        return declared_table("sample_modes", columns | {name: counts[:, cell] for cell, name in enumerate(MODES)})


def _page_fault_entry() -> tuple[int, int]:
    """Address and size of the kernel's entry for page faults; zeros where the kernel hides its addresses.

    The entry is near the beginning of the kernel's text, so few lines are read.
    """
    address = 0
    with open("/proc/kallsyms", errors="replace") as lines:
        for line in lines:
            start, _, name = line.split(maxsplit=2)
            if address:
                return address, int(start, 16) - address
            if name.strip() == PAGE_FAULT_ENTRY:
                address = int(start, 16)
                if not address:
                    break
    return 0, 0


def _address(parts: tuple[int, ...]) -> str:
    """Format an address of four 32-bit numbers: for IPv4 only the first is set; empty if all are 0."""
    if not any(parts):
        return ""
    packed = b"".join(part.to_bytes(4, "little") for part in parts)
    if not any(parts[1:]):
        return str(ipaddress.IPv4Address(packed[:4]))
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
