"""One serving thread gets most of the load while others of its kind are idle.

## Detection

Input: the time that the threads of the serving role run or are runnable, their messages, and the connections of the
server. A finding is reported if the busiest thread is busy for at least 80 % of its time, the others for less than half
as much on average, and there are at least twice as many connections as threads, so that the load could be divided.

The cost is the share of the busiest thread's time that an even load would move to the others.

## Why it matters

The busiest thread limits the throughput, and its connections have the longest latency, while other threads sleep.

## Fix

Spread connections and work over all threads.

Several listeners with SO_REUSEPORT give each thread its share of the connections; with one shared listener, a thread
that is awake takes most of them (use EPOLLEXCLUSIVE, or accept in one thread and hand connections out in turn). With
long-lived connections of unequal load, move connections or work between threads. A steering program must cover all
threads.

## Source

epoll_ctl(2) (EPOLLEXCLUSIVE), socket(7) (SO_REUSEPORT).
"""

from __future__ import annotations

from netprobe.analysis.time_budget import TimeBudget
from netprobe.rules.context import RunContext
from netprobe.rules.costs import labels
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "uneven-load"
DOCUMENTATION = parse(__doc__)
_MIN_BUSY_PCT, _MAX_OTHERS = 80.0, 0.5
_CONNECTIONS_PER_THREAD = 2
_SHOWN = 8


def evaluate(context: RunContext) -> Result:
    """The busiest thread beside the others of its role."""
    if context.saturation is None or not context.saturation.colleagues:
        return Pass(CODE, "one thread serves")
    threads = sorted(context.saturation.colleagues, key=lambda row: -_busy(row))
    busiest, others = threads[0], threads[1:]
    if not others:
        return Pass(CODE, "one thread serves")
    top, mean = _busy(busiest), sum(map(_busy, others)) / len(others)
    if top < _MIN_BUSY_PCT or mean > _MAX_OTHERS * top:
        return Pass(CODE, f"the busiest thread is busy {top:.0f} % of the time, the others {mean:.0f} % on average")
    connections = context.polling.connections
    if connections < _CONNECTIONS_PER_THREAD * len(threads):
        return Inconclusive(
            CODE,
            f"one thread of {len(threads)} is busy {top:.0f} % of the time, but there were {connections} connections",
        )
    messages = {(one.pid, one.tid): one.matrix.cells.total() for one in context.thread_matrices}
    total = sum(messages.values())
    named = labels((pid, tid, row.thread) for row in threads for pid, tid in row.tids)
    ((pid, tid), *_) = busiest.tids
    share = 100 * messages.get((pid, tid), 0) / total if total else 0.0
    cost = top - (top + mean * len(others)) / len(threads)
    return Finding(
        CODE,
        Severity.of(cost),
        f"{named[pid, tid]} is busy {top:.0f} % of the time, "
        f"{'the other thread' if len(others) == 1 else f'the {len(others)} other threads'} of its kind {mean:.0f} %"
        f"{'' if len(others) == 1 else ' on average'}.",
        (
            Evidence(f"{named[pid, tid]} reads {share:.0f} % of {total} messages", share, "%"),
            *(
                Evidence(f"{', '.join(named[one] for one in row.tids)}: busy {_busy(row):.1f} %")
                for row in threads[1:_SHOWN]
            ),
            Evidence(f"{connections} connections", connections),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        of="thread time",
    )


def _busy(row: TimeBudget) -> float:
    return row.share(row.running_ns + row.runnable_ns)
