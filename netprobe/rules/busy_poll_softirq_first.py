"""The server busy-polls, but the softirq gets to the packets before it.

## What it sees

The polls of every NAPI instance that the server's connections come from, by who made them. It is a finding where the
server's threads do poll, and take less than half of the packets; the rest came by interrupt and softirq. Where all
settings are as they should be and something keeps the poller from polling (`timer-thread-switching`,
`reactor-preempted`, `hot-frame`: a round of the loop that is longer than gro_flush_timeout), that is the reason, and is
named instead.

The cost is an estimate: 1 µs for each packet that the softirq took and 2.5 µs for each time that a thread went to
sleep, as a share of the server's CPU time.

## Why it matters

The attempts cost time and find nothing, and each packet still pays for interrupt, softirq and wake-up: both prices,
and no gain.

## How to fix it

Two steps that belong together. Interrupts are put off while somebody polls:
`echo 2 > /sys/class/net/DEV/napi_defer_hard_irqs; echo 200000 > /sys/class/net/DEV/gro_flush_timeout` (nanoseconds:
longer than a round of the event loop). And the poller is preferred: `prefer_busy_poll` in EPIOCSPARAMS (Linux 6.9), or
SO_PREFER_BUSY_POLL (5.11) on the sockets. A network card's interrupt moderation should not fire earlier than that
(`ethtool -c DEV`).

## Source

Documentation/networking/napi.rst, Software IRQ coalescing and Busy polling; kernel commit 7fd3253a7de6 (“net: Introduce
preferred busy-polling”).
"""

from __future__ import annotations

from netprobe.analysis.busypoll import poll_sets
from netprobe.rules import (
    busy_poll_mixed_napi,
    epoll_zero_timeout,
    hot_frame,
    reactor_preempted,
    timer_thread_switching,
)
from netprobe.rules.context import RunContext
from netprobe.rules.costs import unpolled, unpolled_evidence
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "busy-poll-softirq-first"


def evaluate(context: RunContext) -> Result:
    """Attempts, and most packets by softirq."""
    link = context.polling.link("the softirq leaves")
    if link.state != "broken":
        return Pass(CODE, link.evidence)
    cause = context.cause(epoll_zero_timeout, busy_poll_mixed_napi)
    if not cause and _is_set_up(context):
        cause = context.cause(timer_thread_switching, reactor_preempted, hot_frame)
    return Pass(CODE, f"{cause} explains it") if cause else _finding(context)


def _is_set_up(context: RunContext) -> bool:
    """Whether interrupts are put off, and the poller is preferred."""
    deferred = all(napi.defer_hard_irqs and napi.gro_flush_timeout_ns for napi in context.polling.napis)
    on_sockets = any(prefer for (prefer,) in context.run.tables["polling_connections"].rows("prefer"))
    return deferred and (on_sockets or any(here.prefer for here in poll_sets(context.run.tables)))


def _finding(context: RunContext) -> Finding:
    polling = context.polling
    attempts, hits = sum(row.attempts for row in polling.rows), sum(row.hits for row in polling.rows)
    cost = unpolled(context)
    share = polling.share_pct or 0.0
    link = polling.link("the softirq leaves")
    return Finding(
        CODE,
        Severity.of(cost),
        f"The server busy-polls, but the softirq takes {100 - share:.0f} % of the packets before it.",
        (
            Evidence(link.evidence, share, "%"),
            Evidence(
                f"{attempts / context.seconds:.0f} attempts a second, of which {100 * hits / max(1, attempts):.1f} % "
                "found a packet",
                attempts / context.seconds,
                "1/s",
            ),
            *unpolled_evidence(context),
        ),
        "Polling costs time and finds nothing, and each packet still pays for interrupt, softirq and wake-up.",
        link.fix,
        "Documentation/networking/napi.rst, Software IRQ coalescing and Busy polling",
        cost,
    )
