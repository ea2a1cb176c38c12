"""Threads that only tick wake up so often that their context switches cost more than their work.

## Detection

Input: context switches by role (`timer-0` and `timer-1` are one role), system calls and messages by thread, and what
ends the sleeps of each thread. A role ticks if its threads read no messages, go to sleep at least 500 times per second
each, make few calls per wake-up, and a timer ends at least 90 % of their sleeps, whatever call they sleep in.

Runs without wakers are evaluated by the calls: nearly all are nanosleep, timerfd or signal waits; or they are reads (of
a timerfd) that are equally frequent in each interval and thread (within 10 %) or made by threads whose name contains
timer, tick, quota, clock or watchdog.

Imported switches (pidstat) come without calls: only the name of the thread is used. Imported switches of the whole
machine (sar) come without threads: a note is reported if the machine switches at least 2,000 times per second and CPU
(four CPUs, if their number was not specified) and equally often in each of three seconds or more, within 2 %. Timers
keep such a rate, and load seldom does. At less than 500 switches per second no thread can tick that often.

The cost is an estimate: 2.5 µs per switch, for the ticking threads and for the threads that they preempt, as a share of
the server's CPU time.

## Why it matters

A tick switches context twice and leaves the serving thread with cold caches; a flame graph hardly shows it.

A task quota of 0.5 ms does that 2,000 times per second and core, while the ticking thread itself does next to nothing.

## Fix

Tick less often: a period of 10 ms instead of 0.5 ms (Seastar: `--task-quota-ms 10`).

A quota need not be shorter than an iteration of the event loop under load. Alternatives: check a clock that the loop
reads anyway, or use a timer without a thread (`timer_create` with SIGEV_THREAD_ID and a handler that sets a flag;
Seastar's aio backend).

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
from netprobe.rules.costs import SWITCH_NS, thread_list, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity
from netprobe.run.table import thread_rows

CODE = "timer-thread-switching"
DOCUMENTATION = parse(__doc__)
_MIN_PER_SECOND = 500
_MAX_CALLS_PER_WAKE_UP = 4
_TIMER_NAME = re.compile(r"tim(er|ing)|tick|quota|clock|watchdog", re.IGNORECASE).search
_SLEEPS = frozenset({"nanosleep", "clock_nanosleep", "timerfd_settime", "timerfd_gettime", "rt_sigtimedwait"})
_READS = frozenset({"read"})
_NEARLY_ALL = 0.9
_STEADY = 0.1
_MIN_PER_CPU, _ASSUMED_CPUS, _STEADY_MACHINE = 2000, 4, 0.02
_DAY_S = 86_400
# As netprobe import writes it to run.json, and as it did for earlier versions of the format.
_UNKNOWN_THREADS = frozenset({"threads of the switches", "which threads switch"})


@dataclass(frozen=True)
class TickingRole:
    """A role that only ticks: its switches, and how often it preempted serving threads."""

    row: SwitchRow
    preemptions: int


def evaluate(context: RunContext) -> Result:
    """Roles that only tick, by descending number of switches."""
    if context.imported:
        return _of_imported_switches(context)
    roles = ticking_roles(context)
    if not roles:
        return Pass(CODE, f"no thread ticks {_MIN_PER_SECOND} times per second or more")
    return _finding(context, roles)


def _of_imported_switches(context: RunContext) -> Result:
    """Switches without system calls: only the name shows that a thread is a timer."""
    if "switches" not in context.run.tables:
        return _of_the_machine(context)
    frequent = [row for row in context.switches if context.is_frequent(row.voluntary, _MIN_PER_SECOND * len(row.tids))]
    timers = [TickingRole(row, 0) for row in frequent if _TIMER_NAME(row.thread)]
    if timers:
        return _finding(context, timers)
    if frequent:
        names = thread_list([row.thread for row in frequent])
        return Inconclusive(CODE, f"{names} sleep and wake up often, but their system calls were not imported")
    imported = context.run.info.imported
    if imported and _UNKNOWN_THREADS.intersection(imported.unknown):
        return Inconclusive(CODE, "the switches are those of processes; pidstat -wt reports them by thread")
    return Pass(CODE, f"no thread goes to sleep {_MIN_PER_SECOND} times per second")


def _of_the_machine(context: RunContext) -> Result:
    """Switches of the machine without threads: only a steady rate shows timers."""
    intervals = context.run.tables.get("intervals")
    if intervals is None or "machine_switches" not in intervals.columns:
        context.require("switches")
    assert intervals is not None
    rates = _rates_per_second(context)
    rate = sum(intervals.columns["machine_switches"]) / context.seconds
    if rate < _MIN_PER_SECOND:
        return Pass(CODE, f"the whole machine switches {rate:.0f} times per second")
    cpus = context.run.info.host.cpus
    if rate >= _MIN_PER_CPU * (cpus or _ASSUMED_CPUS) and _is_steady(rates, _STEADY_MACHINE):
        return _steady_machine_finding(rates, rate, cpus)
    return Inconclusive(
        CODE,
        f"the machine switches {rate:.0f} times per second; netprobe switches and pidstat -wt show the threads",
    )


def _rates_per_second(context: RunContext) -> list[float]:
    """The rates that sar printed; empty if its intervals are longer than a second, since their means are all steady."""
    if "imported_sar" not in context.run.tables:
        return []
    rows = context.run.tables["imported_sar"].rows("row", "time_s", "cswch_per_s")
    intervals = [(time, rate) for row, time, rate in rows if row == "interval"]
    seconds = all((after - before) % _DAY_S <= 1 for (before, _), (after, _) in pairwise(intervals))
    return [rate for _, rate in intervals] if seconds else []


def _steady_machine_finding(rates: list[float], rate: float, cpus: int | None) -> Finding:
    within = 100 * (max(rates) - min(rates)) / max(rates)
    per_cpu = f"{rate / cpus:.0f} on each of {cpus} CPUs" if cpus else "number of CPUs not imported"
    return Finding(
        CODE,
        Severity.NOTE,
        f"The machine switches context {rate:.0f} times per second at a steady rate: typical of timers, not of load.",
        (
            Evidence(f"{rate:.0f} context switches per second, {per_cpu}", rate, "1/s"),
            Evidence(
                f"{min(rates):.0f} to {max(rates):.0f} in {len(rates)} intervals, within {within:.1f} %", within, "%"
            ),
            Evidence("the threads were not imported, so another cause is possible"),
        ),
        DOCUMENTATION,
        specific_fix="First find the threads with netprobe switches or pidstat -wt.",
    )


def ticking_roles(context: RunContext) -> list[TickingRole]:
    """Roles whose threads only wake up and sleep again."""
    calls: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for row in context.calls_by_thread:
        calls[row.pid, row.tid][row.syscall] += row.calls
    serving = {(thread.pid, thread.tid) for thread in context.reactors}
    return [
        TickingRole(row, _preemptions(context, row, serving))
        for row in context.switches
        if _ticks(context, row, calls, serving)
    ]


def _ticks(
    context: RunContext, row: SwitchRow, calls: dict[tuple[int, int], Counter[str]], serving: set[tuple[int, int]]
) -> bool:
    of_role: Counter[str] = sum((calls.get(tid, Counter()) for tid in row.tids), Counter())
    if row.tids & serving or row.voluntary < _MIN_PER_SECOND * context.seconds * len(row.tids):
        return False
    total = of_role.total()
    by_timer = _share_woken_by_timer(context, row)
    if by_timer is not None:
        return by_timer >= _NEARLY_ALL and total <= _MAX_CALLS_PER_WAKE_UP * row.voluntary
    if not 0 < total <= _MAX_CALLS_PER_WAKE_UP * row.voluntary:
        return False
    if sum(of_role[call] for call in _SLEEPS) >= _NEARLY_ALL * total:
        return True
    reads = sum(of_role[call] for call in _SLEEPS | _READS)
    return reads >= _NEARLY_ALL * total and bool(_TIMER_NAME(row.thread) or _has_steady_rate(context, row))


def _share_woken_by_timer(context: RunContext, row: SwitchRow) -> float | None:
    """Share of the role's sleeps that a timer ended; None where wakers were not recorded."""
    if "thread_time" not in context.run.tables:
        return None
    woken_by: Counter[str] = Counter()
    for budget in context.thread_budgets:
        if budget.tids & row.tids:
            woken_by.update(budget.woken_by)
    return (woken_by["hrtimer"] + woken_by["timer"]) / woken_by.total() if woken_by else None


def _has_steady_rate(context: RunContext, row: SwitchRow) -> bool:
    """Whether each thread switches at the same rate in all intervals."""
    tables = context.run.tables
    lengths = dict(tables["intervals"].rows("interval", "duration_s")) if "intervals" in tables else {}
    counts: Counter[tuple[int, int, int]] = Counter()
    for (pid, tid, _, _, voluntary), interval in zip(
        thread_rows(tables, "switches", "voluntary"), tables["switches"].columns["interval"], strict=True
    ):
        if (pid, tid) in row.tids:
            counts[pid, tid, int(interval)] += voluntary
    rates = [count / lengths[interval] for (*_, interval), count in counts.items() if lengths.get(interval)]
    # The threads may not have run in the whole of the first and the last interval.
    return _is_steady(sorted(rates)[1:-1] if len(rates) > 4 else rates, _STEADY)


def _is_steady(rates: list[float], within: float) -> bool:
    return len(rates) > 2 and max(rates) - min(rates) <= within * max(rates)


def _preemptions(context: RunContext, row: SwitchRow, serving: set[tuple[int, int]]) -> int:
    """Involuntary switches of serving threads to threads of this role."""
    return sum(victim.preempted_by[row.thread] for victim in context.switches if victim.tids & serving)


def _finding(context: RunContext, roles: list[TickingRole]) -> Finding:
    switches = sum(role.row.switches + role.preemptions for role in roles)
    cost = min(100.0, context.share_of_cpu(switches * SWITCH_NS))
    names = [role.row.thread for role in roles]
    threads = sum(len(role.row.tids) for role in roles)
    per_thread = sum(role.row.voluntary for role in roles) / threads / context.seconds
    tick, each = ("ticks", "") if threads == 1 else ("tick", " each")
    return Finding(
        CODE,
        Severity.of(cost),
        f"{thread_list(names)} only {tick}, {per_thread:.0f} times per second{each}{_consequence(context, roles)}.",
        tuple(evidence for role in roles for evidence in _evidence(context, role)),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=f"The period here is {1000 / per_thread:.2g} ms.",
    )


def _consequence(context: RunContext, roles: list[TickingRole]) -> str:
    """How often ticks preempt a serving thread, as the evidence has it."""
    if context.imported:
        return ", and every tick may preempt a serving thread"
    ticks, preemptions = sum(role.row.voluntary for role in roles), sum(role.preemptions for role in roles)
    if not preemptions:
        return ", and none of the ticks preempts a serving thread"
    share = 100 * preemptions / ticks
    return f", and {'every tick preempts' if share >= 90 else f'{share:.0f} % of the ticks preempt'} a serving thread"


def _evidence(context: RunContext, role: TickingRole) -> list[Evidence]:
    row, seconds = role.row, context.seconds
    threads = f"{len(row.tids)} thread{'' if len(row.tids) == 1 else 's'}"
    per_second = row.switches / seconds
    switches = Evidence(f"{row.thread} ({threads}) switches {per_second:.0f} times per second", per_second, "1/s")
    if context.imported:
        by_name = Evidence("identified by name: system calls were not imported")
        return [switches, by_name, *unknown_cost_evidence(context)]
    preemptions = role.preemptions / seconds
    return [switches, Evidence(f"it preempts serving threads {preemptions:.0f} times per second", preemptions, "1/s")]
