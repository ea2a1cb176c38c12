"""Small writes wait for acknowledgments that the other side delays.

## Detection

Input: TCP_INFO of the connections, between snapshots under load and at stop: the time with unacknowledged data, the
segments with data, the shortest round trip. A finding is reported if data is outstanding for at least half of the time,
for 5 ms and ten round trips per segment on average, although neither the receive window nor the send buffer is full and
hardly anything is lost, and at least one of four connections had unsent data at the last snapshot: without that, the
acknowledgments only wait for the answers or requests that carry them.

The cost is the share of the time with outstanding data in which the serving threads sleep.

## Why it matters

Nagle's algorithm holds back a small segment until the previous one is acknowledged, which the other side delays by 40
ms or more: each such response takes that long, while both sides look idle.

It needs two small writes for one response, or a request in two writes: header and body.

## Fix

Set TCP_NODELAY on each connection, and write a response with one call (writev, sendmsg, MSG_MORE or TCP_CORK).

One call also saves a system call and a segment. The client has the same fault if its requests come in two writes.

## Source

RFC 896, RFC 1122 section 4.2.3.2; tcp(7) (TCP_NODELAY, TCP_QUICKACK); `tcp_nagle_test()` in net/ipv4/tcp_output.c.
"""

from __future__ import annotations

from netprobe.analysis.tcp_info import tcp_totals
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "delayed-ack"
DOCUMENTATION = parse(__doc__)


def evaluate(context: RunContext) -> Result:
    """Accepted connections first, then those to backends."""
    context.require("tcp_connections")
    results = [_of(context, accepted=accepted) for accepted in (True, False)]
    found = [result for result in results if isinstance(result, Finding)]
    if found:
        return found[0]
    if all(result is None for result in results):
        return Inconclusive(CODE, "no connection was open in two snapshots: record under load, for longer (-d)")
    return Pass(CODE, "acknowledgments arrive in time")


def _of(context: RunContext, *, accepted: bool) -> Finding | Pass | None:
    totals = tcp_totals(context.run.tables, accepted=accepted)
    if not totals.connections:
        return None
    if not totals.waits_for_ack:
        return Pass(CODE)
    busy = totals.share_pct(totals.busy_ns)
    serving = context.serving_time
    asleep = 100 - serving.alive_pct(serving.busy_ns)
    cost = busy * asleep / 100
    side = "clients" if accepted else "backends"
    return Finding(
        CODE,
        Severity.of(cost),
        f"Data to {side} is unacknowledged {busy:.0f} % of the time, {totals.busy_ms_per_segment:.0f} ms per "
        f"segment, while the serving threads sleep {asleep:.0f} % of theirs.",
        (
            Evidence(
                f"{totals.connections} connections, {totals.data_segments} segments with data", totals.connections
            ),
            Evidence(f"the shortest round trip takes {totals.min_rtt_ns / 1e6:.2f} ms", totals.min_rtt_ns / 1e6, "ms"),
            Evidence(f"{totals.with_unsent} connections had unsent data at the last snapshot", totals.with_unsent),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        of="thread time",
    )
