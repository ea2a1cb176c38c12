"""Segments of the server's connections are lost and sent again.

## Detection

Input: TCP_INFO of the target's connections between snapshots under load and at stop: segments with data, and segments
that were sent again. A finding is reported if at least 1 % of at least 100 segments were sent again.

The cost is the share of segments that were sent again.

## Why it matters

A lost segment delays everything behind it on its connection: by a round trip at best, by 200 ms or more if only the
timer notices it.

## Fix

Find the place of the loss: the queue of the device (`tc -s qdisc`), its rings (`ethtool -S`), the receiver's buffers
(`nstat -az TcpExtTCPRcvQDrop`), or the network.

On the server: larger rings, fq and pacing, BBR where losses are not caused by congestion.

## Source

tcp(7); RFC 6298, RFC 8985 (RACK-TLP); `tcp_retransmit_skb()` in net/ipv4/tcp_output.c.
"""

from __future__ import annotations

from netprobe.analysis.tcp_info import tcp_totals
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "retransmissions"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_SEGMENTS = 1.0, 100


def evaluate(context: RunContext) -> Result:
    """The larger share of accepted and opened connections."""
    context.require("tcp_connections")
    both = [tcp_totals(context.run.tables, accepted=accepted) for accepted in (True, False)]
    enough = [totals for totals in both if totals.data_segments >= _MIN_SEGMENTS]
    if not enough:
        return Inconclusive(CODE, f"fewer than {_MIN_SEGMENTS} segments were sent on connections of two snapshots")
    totals = max(enough, key=lambda one: one.retransmitted / one.data_segments)
    share = 100 * totals.retransmitted / totals.data_segments
    if share < _MIN_PCT:
        return Pass(CODE, f"{share:.2f} % of {totals.data_segments} segments were sent again")
    return Finding(
        CODE,
        Severity.of(share),
        f"{share:.1f} % of the segments with data are sent again.",
        (
            Evidence(f"{totals.retransmitted} of {totals.data_segments} segments", share, "%"),
            Evidence(f"{totals.connections} connections", totals.connections),
        ),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )
