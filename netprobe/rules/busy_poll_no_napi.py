"""The server asks for busy polling, but its connections come from no device that could be polled.

## What it sees

The NAPI id of every established connection of the server. It is a finding where the server has busy-poll parameters
of its own (on an epoll set, a ring or sockets) and none of its connections has an id. What is set for the whole machine
alone is no reason: it may be for another server.

The cost is an estimate: 2.5 µs for each time that a thread goes to sleep, as a share of the server's CPU time. That is
what the settings were meant to save, and do not.

## Why it matters

The kernel polls the NAPI instance that a connection's packets came from. Loopback has none, nor have connections that
came in over a bridge or tunnel whose driver does not hand the id on. All the settings are then without effect.

## How to fix it

Have the clients reach the server by a network device with NAPI, rather than over loopback or through a proxy on the
same host. A veth pair has NAPI with GRO on and TSO off at both ends: `ethtool -K DEV gro on tso off gso off`. Else
remove the settings: they promise what they do not do.

## Source

`sk_mark_napi_id()` in include/net/busy_poll.h; Documentation/networking/napi.rst, Busy polling.
"""

from __future__ import annotations

from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SWITCH_NS, sleeps
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "busy-poll-no-napi"


def evaluate(context: RunContext) -> Result:
    """Parameters, and no connection that could be polled."""
    polling = context.polling
    if not polling.asked_by_server:
        return Pass(CODE, "the server does not ask for busy polling")
    if not polling.connections:
        return Inconclusive(CODE, "no established TCP connection was seen: put the server under load")
    if polling.connections_with_napi:
        return Pass(CODE, polling.link("connections have a NAPI id").evidence)
    if cause := context.cause(epoll_zero_timeout):
        return Pass(CODE, f"with {cause} it could not begin")
    return _finding(context)


def _finding(context: RunContext) -> Finding:
    slept = sleeps(context)
    cost = min(100.0, context.share_of_cpu(slept * SWITCH_NS))
    return Finding(
        CODE,
        Severity.of(cost),
        f"The server asks for busy polling, but none of its {context.polling.connections} connections can be polled.",
        (
            Evidence(
                context.polling.link("connections have a NAPI id").evidence, context.polling.connections, "connections"
            ),
            Evidence(context.polling.link("busy polling is switched on").evidence),
            Evidence(
                f"the threads went to sleep {slept / context.seconds:.0f} times a second",
                slept / context.seconds,
                "1/s",
            ),
        ),
        "The kernel polls the NAPI instance that packets came from, and these came from none: the settings do nothing.",
        "Reach the server by a device with NAPI instead of loopback (a veth pair: ethtool -K DEV gro on tso off gso "
        "off at both ends), or remove the settings.",
        "sk_mark_napi_id() in include/net/busy_poll.h; Documentation/networking/napi.rst",
        cost,
    )
