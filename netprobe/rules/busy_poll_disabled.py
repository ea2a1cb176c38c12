"""Busy polling is switched off, though the server asks for it or would gain much by it.

## What it sees

The machine's `net.core.busy_poll`, parameters of the epoll sets (EPIOCSPARAMS) and rings, SO_BUSY_POLL of the
connections, and the way in which the server waits. It is a finding

* where something asks for busy polling that is not enough: SO_BUSY_POLL on the sockets of an epoll server,
  net.core.busy_poll for a server that waits in `recv()`, interrupts that are deferred for a poller that never comes;
* where nothing asks for it, but at least half of the connections come from a device that could be polled, and going
  to sleep and leaving the CPU idle takes the threads at least 5 % of their time.

A server that rarely sleeps has nothing to gain, and one whose CPUs others use meanwhile would take them away. The cost
is an estimate: 2.5 µs for each time that a thread goes to sleep, and where busy polling is asked for 1 µs for each
packet that comes by softirq, as a share of the server's CPU time.

## Why it matters

A thread that finds nothing to do goes to sleep, and each packet pays for an interrupt, a softirq and a wake-up. A
thread that polls its queue instead takes the packet itself, on its own CPU. The price is a CPU that is always busy.

## How to fix it

For the server alone, since Linux 6.9: `ioctl(epfd, EPIOCSPARAMS, &(struct epoll_params){.busy_poll_usecs = 200,
.busy_poll_budget = 8, .prefer_busy_poll = 1})`. For the machine: `sysctl net.core.busy_poll=50`. A server that waits in
`recv()`: SO_BUSY_POLL on its sockets, or `net.core.busy_read`. Then let the softirq stay away: see
`busy-poll-softirq-first`.

## Source

Documentation/networking/napi.rst, Busy polling; `ep_busy_loop_on()` in fs/eventpoll.c.
"""

from __future__ import annotations

from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SWITCH_NS, sleeps, unpolled, unpolled_evidence
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "busy-poll-disabled"
_WORTH_PCT = 5.0


def evaluate(context: RunContext) -> Result:
    """The first link of the chain is broken."""
    link = context.polling.link("busy polling is switched on")
    if link.state == "unknown":
        return Inconclusive(CODE, f"net.core.busy_poll cannot be read here ({link.evidence})")
    if link.state != "broken":
        return Pass(CODE, link.evidence)
    if not context.polling.connections:
        return Inconclusive(CODE, "no established TCP connection was seen: put the server under load")
    if 2 * context.polling.connections_with_napi < context.polling.connections:
        return Pass(CODE, "the connections come from no device that could be polled")
    if cause := context.cause(epoll_zero_timeout):
        return Pass(CODE, f"with {cause} it could not begin")
    return _asked(context) or _not_asked(context)


def _asked(context: RunContext) -> Finding | None:
    if not (context.polling.asked_by_server or context.polling.asked_by_machine):
        return None
    return _finding(context, "Busy polling was asked for, but is not switched on for the way this server waits.", True)


def _not_asked(context: RunContext) -> Result:
    cost = _idle_cost(context)
    if cost < _WORTH_PCT:
        return Pass(CODE, f"nothing asks for it, and idle waits take {cost:.1f} % of the server's time")
    return _finding(context, "Busy polling is switched off, and the threads go to sleep between packets.", False)


def _idle_cost(context: RunContext) -> float:
    """Of waits in which nobody else used the CPU; percent of the server's CPU time."""
    return min(100.0, context.share_of_cpu(sleeps(context, to_idle=True) * SWITCH_NS))


def _finding(context: RunContext, summary: str, asked: bool) -> Finding:
    link = context.polling.link("busy polling is switched on")
    cost = unpolled(context) if asked else _idle_cost(context)
    return Finding(
        CODE,
        Severity.of(cost),
        summary,
        (Evidence(link.evidence), *unpolled_evidence(context)),
        "Each packet pays for an interrupt, a softirq and a wake-up that a polling thread would not need.",
        link.fix,
        "Documentation/networking/napi.rst, Busy polling",
        cost,
    )
