"""The server busy-polls, but the softirq processes most packets first.

## Detection

Input: the polls of each NAPI instance that receives packets of the server's connections, by poller. A finding is
reported if the server's threads poll but take less than half of the packets; the others arrive by interrupt and
softirq. If interrupts are deferred and the poller is preferred, but another fault keeps the thread from polling
(`timer-thread-switching`, `reactor-preempted`, or `hot-frame` with a loop iteration longer than gro_flush_timeout),
only that fault is reported.

The cost is an estimate: 1 µs for each packet of the softirq and 2.5 µs each time that a thread goes to sleep, as a
share of the server's CPU time.

## Why it matters

The attempts to poll take time and find no packets, and each packet still costs an interrupt, a softirq and a wake-up.

## Fix

Defer interrupts while a thread polls, and prefer the poller over the softirq.

Both steps are needed. Defer interrupts: `echo 2 > /sys/class/net/DEV/napi_defer_hard_irqs; echo 200000 >
/sys/class/net/DEV/gro_flush_timeout` (nanoseconds: longer than an iteration of the event loop). Prefer the poller:
`prefer_busy_poll` in EPIOCSPARAMS (Linux 6.9), or SO_PREFER_BUSY_POLL (Linux 5.11) on the sockets. The interrupt
moderation of the network card should not fire earlier than that (`ethtool -c DEV`).

## Source

Documentation/networking/napi.rst, Software IRQ coalescing and Busy polling; kernel commit 7fd3253a7de6 (“net: Introduce
preferred busy-polling”).
"""

from __future__ import annotations

from netprobe.analysis.busypoll import DEFERRED_INTERRUPTS, poll_sets
from netprobe.rules import (
    busy_poll_mixed_napi,
    epoll_zero_timeout,
    hot_frame,
    reactor_preempted,
    timer_thread_switching,
)
from netprobe.rules.context import RunContext
from netprobe.rules.costs import unpolled_cost, unpolled_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "busy-poll-softirq-first"
DOCUMENTATION = parse(__doc__)


def evaluate(context: RunContext) -> Result:
    """Polls were attempted, and most packets arrived by softirq."""
    check = context.polling.check(DEFERRED_INTERRUPTS)
    if check.state != "failed":
        return Pass(CODE, check.evidence)
    cause = context.cause(epoll_zero_timeout, busy_poll_mixed_napi)
    if not cause and _is_configured(context):
        cause = context.cause(timer_thread_switching, reactor_preempted, hot_frame)
    return Pass(CODE, f"{cause} explains it") if cause else _finding(context)


def _is_configured(context: RunContext) -> bool:
    """Whether interrupts are deferred and the poller is preferred."""
    deferred = all(napi.defer_hard_irqs and napi.gro_flush_timeout_ns for napi in context.polling.napis)
    on_sockets = any(prefer for (prefer,) in context.run.tables["polling_connections"].rows("prefer"))
    return deferred and (on_sockets or any(poll_set.prefer for poll_set in poll_sets(context.run.tables)))


def _finding(context: RunContext) -> Finding:
    polling = context.polling
    attempts, hits = sum(row.attempts for row in polling.rows), sum(row.hits for row in polling.rows)
    cost = unpolled_cost(context)
    share = polling.share_pct or 0.0
    check = polling.check(DEFERRED_INTERRUPTS)
    return Finding(
        CODE,
        Severity.of(cost),
        f"The server busy-polls, but the softirq processes {100 - share:.0f} % of the packets first.",
        (
            Evidence(check.evidence, share, "%"),
            Evidence(
                f"{attempts / context.seconds:.0f} attempts per second, of which {100 * hits / max(1, attempts):.1f} % "
                "found a packet",
                attempts / context.seconds,
                "1/s",
            ),
            *unpolled_evidence(context),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=f"Here: {check.fix}",
    )
