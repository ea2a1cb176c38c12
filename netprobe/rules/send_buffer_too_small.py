"""Serving threads block in send because the send buffer of the connection is full.

## Detection

Input: the time for which the serving threads sleep in calls that send on accepted connections. A finding is reported if
these sleeps take at least 10 % of the time that the threads spend on requests (running, runnable or blocked), and at
least 1 % of all their time; or, for servers that do not block, if the connections are limited by their send buffer for
at least 10 % of the time (TCP_INFO).

The cost is this share of the time spent on requests, or of the connections' time. A slow client or network has the same
effect as a small buffer: the summary names both.

## Why it matters

A thread that blocks in send serves no other connection until the client has read.

A response larger than the send buffer takes one round trip per buffer.

## Fix

Let the send buffer hold a whole response, or send without blocking.

Do not set SO_SNDBUF (it switches off the automatic size), and raise the maximum of net.ipv4.tcp_wmem where responses
are large. With non-blocking sockets wait for EPOLLOUT; proxies buffer responses (nginx: `proxy_buffers`).

## Source

tcp(7) (tcp_wmem), socket(7) (SO_SNDBUF); `sk_stream_wait_memory()` in net/core/stream.c.
"""

from __future__ import annotations

from netprobe.analysis.tcp_info import TcpTotals, tcp_totals
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "send-buffer-too-small"
DOCUMENTATION = parse(__doc__)
_MIN_SHARE_PCT, _MIN_ALIVE_PCT, _MIN_LIMITED_PCT = 10.0, 1.0, 10.0


def evaluate(context: RunContext) -> Result:
    """Sleeps in send to clients."""
    serving = context.serving_time
    blocked = serving.to_client
    share = serving.share_pct(blocked.total_ns)
    totals = tcp_totals(context.run.tables, accepted=True)
    limited = totals.share_pct(totals.buffer_limited_ns)
    if share < _MIN_SHARE_PCT and limited >= _MIN_LIMITED_PCT:
        return _of_connections(totals, limited)
    if share < _MIN_SHARE_PCT or serving.alive_pct(blocked.total_ns) < _MIN_ALIVE_PCT:
        return Pass(CODE, f"the serving threads block in sends {share:.1f} % of the time spent on requests")
    calls = ", ".join(call for call, _ in blocked.calls.most_common(3))
    alive = serving.alive_pct(blocked.total_ns)
    return Finding(
        CODE,
        Severity.of(share),
        f"The serving threads block in {calls} for {share:.0f} % of the time that they spend on requests: the send "
        "buffers are full, as they are small or the clients read slowly.",
        (
            Evidence(f"{alive:.1f} % of the time of {len(serving.threads)} serving threads", alive, "%"),
            Evidence(f"{blocked.sleeps} sleeps of {blocked.mean_ms:.2f} ms on average", blocked.mean_ms, "ms"),
        ),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )


def _of_connections(totals: TcpTotals, limited: float) -> Finding:
    return Finding(
        CODE,
        Severity.of(limited),
        f"The connections are limited by their send buffer {limited:.0f} % of the time.",
        (
            Evidence(
                f"{totals.connections} connections, {totals.data_segments} segments with data", totals.connections
            ),
            Evidence(f"{totals.with_unsent} connections had unsent data at the last snapshot", totals.with_unsent),
        ),
        DOCUMENTATION,
        cost_pct=limited,
        of="thread time",
    )
