"""Where the time of threads goes: running, runnable or asleep, added up by thread or by role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flamegraph.names import fold_names
from netprobe.analysis.confidence import ConfidenceInterval, wilson_pct
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]
Category = Literal[
    "poll", "futex", "receive", "send", "accept", "connect", "file", "timer", "pipe", "page fault", "io_uring",
    "stopped", "other",
]  # fmt: skip

# Threads that ended within this time are added up per process: their creation alone is a part of such a life.
SHORT_LIVED_S = 0.1
_CATEGORIES: dict[str, Category] = {
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"), "poll"),
    **dict.fromkeys(("futex", "futex_wait", "futex_waitv"), "futex"),
    **dict.fromkeys(("recvfrom", "recvmsg", "recvmmsg"), "receive"),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), "send"),
    **dict.fromkeys(("accept", "accept4"), "accept"),
    "connect": "connect",
    **dict.fromkeys(("nanosleep", "clock_nanosleep", "rt_sigtimedwait", "rt_sigsuspend", "pause"), "timer"),
    **dict.fromkeys(("io_uring_enter", "io_getevents", "io_pgetevents", "io_uring worker"), "io_uring"),
    **dict.fromkeys(
        (
            "fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range", "fallocate", "ftruncate", "truncate",
            "open", "openat", "openat2", "stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat",
            "faccessat2", "getdents64", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
            "rmdir", "readahead", "fadvise64", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2",
        ),
        "file",
    ),
    "page fault": "page fault",
    "stopped": "stopped",
}  # fmt: skip
_SOCKETS = ("connected", "accepted", "datagram", "unix", "socket", "listener")
_RECEIVING = ("read", "readv", "pread64", "preadv", "preadv2")


@dataclass(frozen=True)
class SleepObject:
    """What a thread sleeps on: the kind of socket or file; of a connection to a backend the address and port.

    `port`: of a connection to a backend the remote one, of other sockets the local one; 0 of files.
    """

    kind: str
    address: str = ""
    port: int = 0

    def __str__(self) -> str:
        """`127.0.0.1:5432`, `a client of port 80`, `a pipe`."""
        if self.kind == "connected":
            address = f"[{self.address}]" if ":" in self.address else self.address
            return f"{address}:{self.port}"
        if self.kind in ("accepted", "listener", "datagram"):
            return f"{'a client of ' if self.kind == 'accepted' else ''}port {self.port}"
        if self.kind == "lock":
            return f"the lock at {self.address}"
        return {"unix": "a Unix socket", "socket": "a socket", "pipe": "a pipe", "file": "a file"}.get(
            self.kind, "a special file"
        )


@dataclass
class Sleep:
    """The sleeps of a row in one system call, or by page fault, stop or io_uring work. Times in nanoseconds.

    `woken_by`: hrtimer, timer, interrupt, thread, unknown → sleeps. `objects`: what it slept on → nanoseconds.
    """

    reason: str
    total_ns: int = 0
    sleeps: int = 0
    uninterruptible_ns: int = 0
    woken_by: Counter[str] = field(default_factory=Counter)
    objects: Counter[SleepObject] = field(default_factory=Counter)

    @property
    def category(self) -> Category:
        """What it waits for. `read` and `write` are distinguished by what they slept on most."""
        if (known := _CATEGORIES.get(self.reason)) is not None:
            return known
        if self.reason in ("read", "write", "readv", "writev", "close", "shutdown"):
            kind = self.objects.most_common(1)[0][0].kind if self.objects else ""
            if kind in _SOCKETS:
                return "receive" if self.reason in _RECEIVING else "send"
            if kind in ("pipe", "other file"):
                return "pipe"
            return "file"
        return "file" if self.uninterruptible_ns * 2 > self.total_ns > 0 else "other"


@dataclass
class TimeBudget:
    """One thread, or all threads of one role (then `tids` has several). Times in nanoseconds, summed over threads."""

    process: str
    thread: str
    tids: set[tuple[int, int]] = field(default_factory=set)
    alive_ns: int = 0
    running_ns: int = 0
    runnable_ns: int = 0
    sleeps: dict[str, Sleep] = field(default_factory=dict)
    # user, kernel, page_fault, interrupt -> samples
    modes: Counter[str] = field(default_factory=Counter)
    # Threads that woke it -> wake-ups.
    wakers: Counter[str] = field(default_factory=Counter)

    @property
    def asleep_ns(self) -> int:
        """All sleeps."""
        return sum(one.total_ns for one in self.sleeps.values())

    def share(self, ns: float) -> float:
        """This time in percent of the time for which the threads were alive."""
        return 100 * ns / self.alive_ns if self.alive_ns else 0.0

    def mode_ns(self, *modes: str) -> float | None:
        """Running time in these modes, by samples; None without samples."""
        total = self.modes.total()
        return self.running_ns * sum(self.modes[mode] for mode in modes) / total if total else None

    def mode_share_pct(self, mode: str) -> ConfidenceInterval | None:
        """Share of the running time in a mode, in percent, from samples (Wilson's interval); None without samples."""
        total = self.modes.total()
        return wilson_pct(self.modes[mode], total) if total else None

    @property
    def woken_by(self) -> Counter[str]:
        """network, block I/O, interrupt, hrtimer, timer, thread, unknown → sleeps that it ended.

        What an interrupt brought follows from what the thread slept in.
        """
        found: Counter[str] = Counter()
        for sleep in self.sleeps.values():
            for waker, count in sleep.woken_by.items():
                found[_interrupt_source(sleep.category) if waker == "interrupt" else waker] += count
        return +found

    @property
    def longest_sleeps(self) -> list[Sleep]:
        """Longest first."""
        return sorted(self.sleeps.values(), key=lambda one: -one.total_ns)


def add_up(rows: Sequence[TimeBudget]) -> TimeBudget:
    """The budgets of several threads as one; raises `ValueError` if there are none."""
    if not rows:
        raise ValueError("no time budgets to add up")
    total = TimeBudget(rows[0].process, rows[0].thread)
    for row in rows:
        total.tids |= row.tids
        total.alive_ns += row.alive_ns
        total.running_ns += row.running_ns
        total.runnable_ns += row.runnable_ns
        total.modes.update(row.modes)
        total.wakers.update(row.wakers)
        for reason, sleep in row.sleeps.items():
            into = total.sleeps.setdefault(reason, Sleep(reason))
            into.total_ns += sleep.total_ns
            into.sleeps += sleep.sleeps
            into.uninterruptible_ns += sleep.uninterruptible_ns
            into.woken_by.update(sleep.woken_by)
            into.objects.update(sleep.objects)
    return total


def _interrupt_source(category: Category) -> str:
    if category in ("poll", "receive", "send", "accept", "connect", "io_uring"):
        return "network"
    return "block I/O" if category in ("file", "page fault") else "interrupt"


def time_budgets(tables: Tables, fold: bool = True) -> list[TimeBudget]:
    """A row per thread, or per role with `fold`; most running time first.

    Threads that started and ended within `SHORT_LIVED_S` during the recording have one row per process.
    """
    rows = _Rows(tables, fold, _short_lived(tables))
    columns = ("state", "reason", "total_ns", "sleeps", "uninterruptible_ns", *(f"woken_by_{one}" for one in _WAKERS))
    for pid, tid, process, thread, state, reason, total_ns, sleeps, uninterruptible_ns, *woken in thread_rows(
        tables, "thread_time", *columns
    ):
        row = rows.of(pid, tid, process, thread)
        if state == "alive":
            row.alive_ns += total_ns
        elif state == "running":
            row.running_ns += total_ns
        elif state == "runnable":
            row.runnable_ns += total_ns
        else:
            sleep = row.sleeps.setdefault(reason, Sleep(reason))
            sleep.total_ns += total_ns
            sleep.sleeps += sleeps
            sleep.uninterruptible_ns += uninterruptible_ns
            sleep.woken_by.update(dict(zip(_WAKERS, woken, strict=True)))
    for *thread, reason, kind, address, port, total_ns in thread_rows(
        tables, "sleep_objects", "reason", "object", "address", "port", "total_ns"
    ):
        sleep = rows.of(*thread).sleeps.setdefault(reason, Sleep(reason))
        sleep.objects[SleepObject(kind, address, port)] += total_ns
    for *thread, user, kernel, page_fault, interrupt in thread_rows(
        tables, "sample_modes", "user", "kernel", "page_fault", "interrupt"
    ):
        modes = {"user": user, "kernel": kernel, "page_fault": page_fault, "interrupt": interrupt}
        rows.of(*thread).modes.update(modes)
    for *thread, waker, wakeups in thread_rows(tables, "wakers", "waker_thread", "wakeups"):
        rows.of(*thread).wakers[rows.name(waker)] += wakeups
    return sorted(rows.found.values(), key=lambda row: (-row.running_ns, -row.runnable_ns, row.process, row.thread))


_WAKERS = ("unknown", "hrtimer", "timer", "interrupt", "thread")


class _Rows:
    def __init__(self, tables: Tables, fold: bool, short_lived: set[tuple[int, int]]) -> None:
        self.found: dict[tuple[Any, ...], TimeBudget] = {}
        self._fold, self._short_lived = fold, short_lived
        threads: list[str] = list(tables["thread_time"].columns["thread"])
        if "wakers" in tables:
            threads += list(tables["wakers"].columns["waker_thread"])
        self._names = fold_names(threads) if fold else {}
        self._processes = fold_names(tables["thread_time"].columns["process"]) if fold else {}
        # A master process often has the name of its workers, and does nothing that they do.
        self._handlers: set[tuple[int, int]] = set()
        self._handling_roles: set[tuple[str, str]] = set()
        for pid, tid, process, thread, messages in thread_rows(tables, "messages", "messages"):
            if messages:
                self._handlers.add((pid, tid))
                self._handling_roles.add((self._processes.get(process, process), self.name(thread)))

    def name(self, thread: str) -> str:
        return self._names.get(thread, thread)

    def of(self, pid: int, tid: int, process: str, thread: str) -> TimeBudget:
        if (pid, tid) in self._short_lived:
            key: tuple[Any, ...] = (process, None) if self._fold else (pid, None)
            row = self.found.setdefault(key, TimeBudget(process, SHORT_LIVED))
        else:
            role, process = self.name(thread), self._processes.get(process, process)
            if self._fold and (pid, tid) not in self._handlers and (process, role) in self._handling_roles:
                role = f"{role} {NO_MESSAGES}"
            key = (process, role) if self._fold else (pid, tid, process, thread)
            row = self.found.setdefault(key, TimeBudget(process, role if self._fold else thread))
        row.tids.add((pid, tid))
        return row


NO_MESSAGES = "(no messages)"
SHORT_LIVED = f"(threads that lived < {SHORT_LIVED_S:g} s)"


def _short_lived(tables: Tables) -> set[tuple[int, int]]:
    if "threads" not in tables:
        return set()
    rows: Iterable[tuple[Any, ...]] = tables["threads"].rows("pid", "tid", "first_seen_s", "ended_s")
    return {(pid, tid) for pid, tid, first, ended in rows if ended - max(first, 0) < SHORT_LIVED_S and first > 0}
