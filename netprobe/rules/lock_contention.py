"""Threads wait for a lock that other threads hold.

## Detection

Input: sleeps in futex by the address of the lock, and the threads that end them. A lock is contended if at least two
threads of one process sleep on it, at least 100 times per second, and if most of the wake-ups of these threads by other
threads come from threads that sleep on it as well, each for a tenth of an equal share or more: they hold the lock in
turn. A pool of idle threads is different: a thread that does not wait there itself wakes them. A finding is reported if
the sleeps take at least 5 % of the time that the waiting threads spend running, runnable or on this lock.

Locks whose waiters sleep on words of their own (Go, JVM monitors) are not seen.

The cost is this share of the time.

## Why it matters

Only one of the threads makes progress at a time, so more threads or CPUs do not help.

Each hand-over also costs a system call, a wake-up and two context switches.

## Fix

Hold the lock for less time, or divide what it protects: one lock per shard, per connection or per thread.

Look at the stacks below `futex` (`netprobe flame --off-cpu -p PID`): the frame above the lock function is the critical
section. Take I/O, memory allocation and logging out of it. In CPython the lock may be the GIL: use processes instead of
threads.

## Source

futex(2), futex(7); Ulrich Drepper, Futexes Are Tricky (2011).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import labels, thread_list
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity
from netprobe.run.table import thread_rows

CODE = "lock-contention"
DOCUMENTATION = parse(__doc__)
_MIN_SHARE_PCT, _MIN_PER_SECOND = 5.0, 100
_MIN_BY_WAITERS = 0.5
# Part of an equal share of the time on the lock from which a waker waits for it in turn.
_MIN_TURN = 0.1

_Thread = tuple[int, int]


@dataclass
class _Lock:
    """A lock: sleeps on it by thread, and the wake-ups of these threads by other threads of the process."""

    pid: int
    address: str
    ns: Counter[_Thread] = field(default_factory=Counter)
    sleeps: int = 0
    by_waiters: int = 0
    by_threads: int = 0
    names: dict[_Thread, str] = field(default_factory=dict)


def evaluate(context: RunContext) -> Result:
    """The lock that costs most."""
    context.require("thread_time", "sleep_objects", "wakers")
    locks = _locks(context)
    if locks is None:
        return Inconclusive(CODE, "this Run does not have the locks of the sleeps: record it again")
    contended = _contended(context, locks)
    shares = [(share, lock) for lock in contended if (share := _share_pct(context, lock)) >= _MIN_SHARE_PCT]
    if not shares:
        return Pass(CODE, "no lock is waited for by several threads in turn")
    share, lock = max(shares, key=lambda one: one[0])
    return _finding(context, lock, share)


def contended_ns(context: RunContext) -> int:
    """Time for which the serving threads sleep on contended locks; 0 where the Run lacks the data."""
    try:
        context.require("thread_time", "sleep_objects", "wakers")
        serving = {tid for row in context.serving_time.threads for tid in row.tids}
    except MissingDataError:
        return 0
    locks = _contended(context, _locks(context) or [])
    return sum(ns for lock in locks for tid, ns in lock.ns.items() if tid in serving)


def _contended(context: RunContext, locks: list[_Lock]) -> list[_Lock]:
    return [lock for lock in locks if _is_contended(context, lock)]


def _locks(context: RunContext) -> list[_Lock] | None:
    """Locks by process and address; None for Runs that have futex sleeps without them."""
    locks: dict[tuple[int, str], _Lock] = {}
    names: dict[_Thread, set[tuple[int, str]]] = {}
    for pid, tid, _, thread, kind, address, sleeps, total_ns in thread_rows(
        context.run.tables, "sleep_objects", "object", "address", "sleeps", "total_ns"
    ):
        if kind == "lock":
            lock = locks.setdefault((pid, address), _Lock(pid, address))
            lock.ns[pid, tid] += total_ns
            lock.names[pid, tid] = thread
            lock.sleeps += sleeps
            names.setdefault((pid, tid), set()).add((pid, address))
    # The lock of a sleep is counted when the sleep ends.
    ended = sum(row.sleeps["futex"].sleeps for row in context.thread_budgets if "futex" in row.sleeps)
    if not locks and ended >= _MIN_PER_SECOND * context.seconds:
        return None
    for pid, tid, _, _, waker, wakeups in thread_rows(context.run.tables, "wakers", "waker_tid", "wakeups"):
        for key in names.get((pid, tid), ()):
            locks[key].by_threads += wakeups
            # A dispatcher may sleep on the lock of its workers now and then.
            waits_in_turn = locks[key].ns[pid, waker] >= _MIN_TURN * locks[key].ns.total() / len(locks[key].ns)
            locks[key].by_waiters += wakeups if waits_in_turn else 0
    return list(locks.values())


def _is_contended(context: RunContext, lock: _Lock) -> bool:
    in_turn = lock.by_threads and lock.by_waiters >= _MIN_BY_WAITERS * lock.by_threads
    return len(lock.ns) > 1 and lock.sleeps >= _MIN_PER_SECOND * context.seconds and bool(in_turn)


def _share_pct(context: RunContext, lock: _Lock) -> float:
    busy_ns = sum(row.running_ns + row.runnable_ns for row in context.thread_budgets if row.tids & lock.ns.keys())
    waiting_ns = lock.ns.total()
    return 100 * waiting_ns / (busy_ns + waiting_ns) if waiting_ns else 0.0


def _finding(context: RunContext, lock: _Lock, share: float) -> Finding:
    names = labels((pid, tid, name) for (pid, tid), name in lock.names.items())
    alive_ns = sum(row.alive_ns for row in context.thread_budgets if row.tids & lock.ns.keys())
    alive = 100 * lock.ns.total() / alive_ns if alive_ns else 0.0
    per_second = lock.sleeps / context.seconds
    return Finding(
        CODE,
        Severity.of(share),
        f"{len(lock.ns)} threads wait for one lock in turn, {share:.0f} % of the time that they run or wait for it.",
        (
            Evidence(f"{thread_list(names.values())} sleep on the lock at {lock.address}", len(lock.ns), "threads"),
            Evidence(f"{alive:.1f} % of all their time, {per_second:.0f} times per second", per_second, "1/s"),
            Evidence(
                f"{100 * lock.by_waiters / lock.by_threads:.0f} % of their wake-ups by threads come from threads that "
                "wait for it as well",
            ),
        ),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )
