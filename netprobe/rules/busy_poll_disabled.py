"""Busy polling is disabled although the server requests it or spends much time going to sleep.

## Detection

Input: `net.core.busy_poll` of the machine, busy-poll parameters of epoll sets (EPIOCSPARAMS) and rings, SO_BUSY_POLL of
the connections, and the calls in which the server waits. A finding is reported if

* busy polling is requested in a way that does not apply to the server: SO_BUSY_POLL on the sockets of an epoll server,
  net.core.busy_poll for a server that waits in `recv()`, or interrupts that are deferred although no thread polls;
* or busy polling is not requested, at least half of the connections arrive on a device that supports it, and going to
  sleep with an idle CPU takes the threads at least 5 % of their time.

A server that rarely sleeps gains nothing from busy polling, and other tasks that use its CPUs in the meantime would
lose them: both cases pass. The cost is an estimate: 2.5 µs each time that a thread goes to sleep and, if busy polling
is requested, 1 µs for each packet that arrives by softirq, as a share of the server's CPU time.

## Why it matters

A thread without work goes to sleep, so each packet costs an interrupt, a softirq and a wake-up.

A thread that polls its queue processes the packet itself, on its own CPU. The price is a CPU that is always busy.

## Fix

Enable busy polling for the call in which the server waits.

For the server alone, since Linux 6.9: `ioctl(epfd, EPIOCSPARAMS, &(struct epoll_params){.busy_poll_usecs = 200,
.busy_poll_budget = 8, .prefer_busy_poll = 1})`. For the machine: `sysctl net.core.busy_poll=50`. For a server that
waits in `recv()`: SO_BUSY_POLL on its sockets, or `net.core.busy_read`. Then defer the interrupts as described in
`busy-poll-softirq-first`.

## Source

Documentation/networking/napi.rst, Busy polling; `ep_busy_loop_on()` in fs/eventpoll.c.
"""

from __future__ import annotations

from netprobe.analysis.busypoll import ENABLED
from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SWITCH_NS, sleep_count, unpolled_cost, unpolled_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "busy-poll-disabled"
DOCUMENTATION = parse(__doc__)
_MIN_IDLE_PCT = 5.0


def evaluate(context: RunContext) -> Result:
    """Busy polling is requested or worthwhile, and the check that it is enabled failed."""
    check = context.polling.check(ENABLED)
    if check.state == "inconclusive":
        return Inconclusive(CODE, f"net.core.busy_poll is not readable ({check.evidence})")
    if check.state != "failed":
        return Pass(CODE, check.evidence)
    if not context.polling.connections:
        return Inconclusive(CODE, "no established TCP connection was seen: put the server under load")
    if 2 * context.polling.connections_with_napi < context.polling.connections:
        return Pass(CODE, "the connections arrive on no device that supports busy polling")
    if cause := context.cause(epoll_zero_timeout):
        return Pass(CODE, f"{cause} prevents busy polling")
    if context.polling.requested:
        summary = "Busy polling is requested, but not enabled for the call in which this server waits."
        return _finding(context, summary, unpolled_cost(context))
    idle_pct = min(100.0, context.share_of_cpu(sleep_count(context, to_idle=True) * SWITCH_NS))
    if idle_pct < _MIN_IDLE_PCT:
        return Pass(CODE, f"busy polling is not requested, and idle waits take {idle_pct:.1f} % of the server's time")
    return _finding(context, "Busy polling is disabled, and the threads go to sleep between packets.", idle_pct)


def _finding(context: RunContext, summary: str, cost_pct: float) -> Finding:
    check = context.polling.check(ENABLED)
    return Finding(
        CODE,
        Severity.of(cost_pct),
        summary,
        (Evidence(check.evidence), *unpolled_evidence(context)),
        DOCUMENTATION,
        cost_pct=cost_pct,
        specific_fix=check.fix,
    )
