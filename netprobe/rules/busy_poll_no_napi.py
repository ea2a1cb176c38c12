"""The server requests busy polling, but its connections arrive on no device that supports it.

## Detection

Input: the NAPI id of every established connection of the server. A finding is reported if the server sets busy-poll
parameters (on an epoll set, a ring or sockets) and none of its connections has a NAPI id. Settings of the whole machine
alone are not reported: they may be meant for another server.

The cost is an estimate: 2.5 µs each time that a thread goes to sleep, as a share of the server's CPU time. The settings
were meant to save that time.

## Why it matters

The kernel polls the NAPI instance on which the packets of a connection arrived; without an instance the settings have
no effect.

Loopback has no NAPI instance, nor have connections over a bridge or tunnel whose driver does not pass the id on.

## Fix

Connect the clients over a network device with NAPI instead of loopback or a proxy on the same host, or remove the
settings.

A veth pair has NAPI with GRO on and TSO off on both interfaces: `ethtool -K DEV gro on tso off gso off`.

## Source

`sk_mark_napi_id()` in include/net/busy_poll.h; Documentation/networking/napi.rst, Busy polling.
"""

from __future__ import annotations

from netprobe.analysis.busypoll import ENABLED, NAPI_IDS
from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SWITCH_NS, sleep_count, sleeps_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "busy-poll-no-napi"
DOCUMENTATION = parse(__doc__)


def evaluate(context: RunContext) -> Result:
    """Busy-poll parameters of the server, and no connection with a NAPI id."""
    polling = context.polling
    if not polling.requested_by_server:
        return Pass(CODE, "the server does not request busy polling")
    if not polling.connections:
        return Inconclusive(CODE, "no established TCP connection was seen: put the server under load")
    if polling.connections_with_napi:
        return Pass(CODE, polling.check(NAPI_IDS).evidence)
    if cause := context.cause(epoll_zero_timeout):
        return Pass(CODE, f"{cause} prevents busy polling")
    cost = min(100.0, context.share_of_cpu(sleep_count(context) * SWITCH_NS))
    return Finding(
        CODE,
        Severity.of(cost),
        f"The server requests busy polling, but none of its {polling.connections} connections can be polled.",
        (
            Evidence(polling.check(NAPI_IDS).evidence, polling.connections, "connections"),
            Evidence(polling.check(ENABLED).evidence),
            sleeps_evidence(context),
        ),
        DOCUMENTATION,
        cost_pct=cost,
    )
