"""Threads that only tick wake up so often that their context switches cost more than their work.

## What it sees

Context switches by role (`timer-0`, `timer-1` as one), system calls and messages by thread. A role ticks if its threads
read no messages, go to sleep at least 500 times a second each, make few calls a wake-up, and wait in a timer's way:
nearly all their calls are nanosleep, timerfd or signal waits; or reads (of a timerfd) that come as often in each
stretch of time and each thread (within 10 %), or by threads whose name says timer, tick, quota, clock or watchdog.
Imported switches (pidstat) come without calls: there only the name tells. Those of the whole machine (sar) come without
threads: there it is a finding, and a note, where the machine switches at least 2,000 times a second and CPU (of four
CPUs, where their number was not told) and as often in each of three seconds or more, within 2 %: timers keep such a
pace, and load seldom does. Below 500 a second no thread can tick so often.

The cost is an estimate: 2.5 µs a switch, for the ticking thread's own and for those of the threads that it takes the
CPU from, as a share of the server's CPU time.

## Why it matters

Each tick takes the CPU from the thread that serves, twice switches context, and leaves its caches behind: a task quota
of 0.5 ms does that 2,000 times a second and core. A flame graph hardly shows it, since the ticking thread itself does
next to nothing.

## How to fix it

Tick less often: a quota as long as a round of the event loop under load needs (Seastar: `--task-quota-ms 10` instead of
0.5). Or let the loop look at a clock it already reads, or use a timer without a thread (`timer_create` with
SIGEV_THREAD_ID and a handler that sets a flag; Seastar's aio backend).

## Source

sched(7), timerfd_create(2); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Constant Context
Switching.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

from netprobe.analysis.switches import SwitchRow
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SWITCH_NS, of_threads, unknown_cost
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity
from netprobe.run.table import thread_rows

CODE = "timer-thread-switching"
_LEAST_PER_SECOND = 500
_MOST_CALLS_A_WAKE_UP = 4
_NAMED = re.compile(r"tim(er|ing)|tick|quota|clock|watchdog", re.IGNORECASE).search
_SLEEPS = frozenset({"nanosleep", "clock_nanosleep", "timerfd_settime", "timerfd_gettime", "rt_sigtimedwait"})
_READS = frozenset({"read"})
_NEARLY_ALL = 0.9
_STEADY = 0.1
_LEAST_OF_A_CPU, _CPUS_IF_NOT_TOLD, _STEADY_MACHINE = 2000, 4, 0.02
_DAY_S = 86_400


@dataclass(frozen=True)
class Ticking:
    """A role that only ticks: its switches, and how often it took the CPU from the threads that serve."""

    row: SwitchRow
    taken: int


def evaluate(context: RunContext) -> Result:
    """The roles that tick, most switches first."""
    if context.imported:
        return _of_names(context)
    found = ticking(context)
    if not found:
        return Pass(CODE, f"no thread ticks {_LEAST_PER_SECOND} times a second or more")
    return _finding(context, found)


def _of_names(context: RunContext) -> Result:
    """Switches alone: what a thread does when it wakes up is not known, so that only its name tells."""
    if "switches" not in context.run.tables:
        return _of_the_machine(context)
    often = [row for row in context.switches if context.often(row.voluntary, _LEAST_PER_SECOND * len(row.tids))]
    named = [Ticking(row, 0) for row in often if _NAMED(row.thread)]
    if named:
        return _finding(context, named)
    if often:
        names = of_threads([row.thread for row in often])
        return Inconclusive(CODE, f"{names} sleep and wake up often, but what for is not in what was imported")
    imported = context.run.info.imported
    if imported and "which threads switch" in imported.unknown:
        return Inconclusive(CODE, "the switches are those of processes; pidstat -wt has them by thread")
    return Pass(CODE, f"no thread goes to sleep {_LEAST_PER_SECOND} times a second")


def _of_the_machine(context: RunContext) -> Result:
    """The pace of the machine: which threads switch is not known."""
    intervals = context.run.tables.get("intervals")
    if intervals is None or "machine_switches" not in intervals.columns:
        context.need("switches")
    assert intervals is not None
    rates = _by_second(context)
    rate = sum(intervals.columns["machine_switches"]) / context.seconds
    if rate < _LEAST_PER_SECOND:
        return Pass(CODE, f"the whole machine switches {rate:.0f} times a second")
    cpus = context.run.info.host.cpus
    if rate >= _LEAST_OF_A_CPU * (cpus or _CPUS_IF_NOT_TOLD) and _keeps_pace(rates, _STEADY_MACHINE):
        return _of_a_pace(rates, rate, cpus)
    return Inconclusive(
        CODE, f"the machine switches {rate:.0f} a second; which threads do, netprobe switches and pidstat -wt say"
    )


def _by_second(context: RunContext) -> list[float]:
    """As sar printed them, whatever was imported beside it; none of longer intervals, whose means are all steady."""
    if "imported_sar" not in context.run.tables:
        return []
    rows = context.run.tables["imported_sar"].rows("row", "time_s", "cswch_per_s")
    intervals = [(time, rate) for row, time, rate in rows if row == "interval"]
    seconds = all((after - before) % _DAY_S <= 1 for (before, _), (after, _) in pairwise(intervals))
    return [rate for _, rate in intervals] if seconds else []


def _of_a_pace(rates: list[float], rate: float, cpus: int | None) -> Finding:
    within = 100 * (max(rates) - min(rates)) / max(rates)
    per_cpu = f"{rate / cpus:.0f} for each of {cpus} CPUs" if cpus else "on how many CPUs was not imported"
    return Finding(
        CODE,
        Severity.NOTE,
        f"The machine switches context {rate:.0f} times a second, and as often each second: the pace of timers rather "
        "than of a load.",
        (
            Evidence(f"{rate:.0f} context switches a second, {per_cpu}", rate, "1/s"),
            Evidence(
                f"{min(rates):.0f} to {max(rates):.0f} in {len(rates)} intervals, within {within:.1f} %", within, "%"
            ),
            Evidence("which threads switch was not imported, so that it may be another reason"),
        ),
        "A tick switches context twice and leaves the serving thread with cold caches; a flame graph hardly shows it.",
        "See which threads they are with netprobe switches or pidstat -wt. Where they only tick, let them tick less "
        "often: 10 ms instead of 0.5 ms (Seastar: --task-quota-ms 10).",
        "sched(7); the investigation “Linux Kernel vs DPDK”, Constant Context Switching",
    )


def ticking(context: RunContext) -> list[Ticking]:
    """Roles whose threads do nothing but wake up."""
    calls: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for row in context.calls_by_thread:
        calls[row.pid, row.tid][row.syscall] += row.calls
    serving = {(here.pid, here.tid) for here in context.reactors}
    return [
        Ticking(row, _taken(context, row, serving)) for row in context.switches if _ticks(context, row, calls, serving)
    ]


def _ticks(
    context: RunContext, row: SwitchRow, calls: dict[tuple[int, int], Counter[str]], serving: set[tuple[int, int]]
) -> bool:
    made: Counter[str] = sum((calls.get(tid, Counter()) for tid in row.tids), Counter())
    if row.tids & serving or row.voluntary < _LEAST_PER_SECOND * context.seconds * len(row.tids):
        return False
    total = made.total()
    if not 0 < total <= _MOST_CALLS_A_WAKE_UP * row.voluntary:
        return False
    if sum(made[call] for call in _SLEEPS) >= _NEARLY_ALL * total:
        return True
    reads = sum(made[call] for call in _SLEEPS | _READS)
    return reads >= _NEARLY_ALL * total and bool(_NAMED(row.thread) or _is_steady(context, row))


def _is_steady(context: RunContext, row: SwitchRow) -> bool:
    """As many switches a second in each thread and each whole stretch of time."""
    lengths = (
        dict(context.run.tables["intervals"].rows("interval", "duration_s"))
        if "intervals" in context.run.tables
        else {}
    )
    counted: Counter[tuple[int, int, int]] = Counter()
    intervals = context.run.tables["switches"].columns["interval"]
    for (pid, tid, _, _, voluntary), interval in zip(
        thread_rows(context.run.tables, "switches", "voluntary"), intervals, strict=True
    ):
        if (pid, tid) in row.tids:
            counted[pid, tid, int(interval)] += voluntary
    rates = [count / lengths[interval] for (*_, interval), count in counted.items() if lengths.get(interval)]
    # The first and the last stretch may be short of some.
    return _keeps_pace(sorted(rates)[1:-1] if len(rates) > 4 else rates, _STEADY)


def _keeps_pace(rates: list[float], within: float) -> bool:
    return len(rates) > 2 and max(rates) - min(rates) <= within * max(rates)


def _taken(context: RunContext, row: SwitchRow, serving: set[tuple[int, int]]) -> int:
    """Switches of serving threads that were forced by this role."""
    return sum(here.preempted_by[row.thread] for here in context.switches if here.tids & serving)


def _finding(context: RunContext, found: list[Ticking]) -> Finding:
    switches = sum(one.row.switches + one.taken for one in found)
    cost = min(100.0, context.share_of_cpu(switches * SWITCH_NS))
    names = [one.row.thread for one in found]
    threads = sum(len(one.row.tids) for one in found)
    each = sum(one.row.voluntary for one in found) / threads / context.seconds
    return Finding(
        CODE,
        Severity.of(cost),
        f"{of_threads(names)} only {'ticks' if threads == 1 else 'tick'}, {each:.0f} times a second"
        f"{'' if threads == 1 else ' each'}, and every tick {'may take' if context.imported else 'takes'} a CPU from the "
        "threads that serve.",
        tuple(evidence for one in found for evidence in _evidence(context, one)),
        "A tick switches context twice and leaves the serving thread with cold caches; a flame graph hardly shows it.",
        f"Tick less often: a period of 10 ms instead of {1000 / each:.2g} ms (Seastar: --task-quota-ms 10).",
        "sched(7); the investigation “Linux Kernel vs DPDK”, Constant Context Switching",
        cost,
    )


def _evidence(context: RunContext, one: Ticking) -> list[Evidence]:
    row, seconds = one.row, context.seconds
    count = f"{len(row.tids)} thread{'' if len(row.tids) == 1 else 's'}"
    return [
        Evidence(
            f"{row.thread} ({count}) switches {row.switches / seconds:.0f} times a second",
            row.switches / seconds,
            "1/s",
        ),
        *_taken_from(context, one),
    ]


def _taken_from(context: RunContext, one: Ticking) -> list[Evidence]:
    if context.imported:
        by_name = Evidence("told by its name: what it does when it wakes up was not imported")
        return [by_name, *unknown_cost(context)]
    taken = one.taken / context.seconds
    return [Evidence(f"it takes the CPU from serving threads {taken:.0f} times a second", taken, "1/s")]
