"""Clients or backends are connected anew for each request.

## Detection

Input: calls of accept() and connect() and the messages that were read. A finding is reported if there is one new
connection for every five messages or fewer, and at least 20 new connections per second.

The cost is the share of the samples in the kernel functions that open and close connections, and create threads or
processes; with too few samples, 20 µs per connection.

## Why it matters

A new connection costs more than a small request: a handshake, a socket, epoll registrations, and often a thread.

Closed connections stay in TIME-WAIT for a minute on the side that closes first; their ports are not free meanwhile.

## Fix

Keep connections open: HTTP keep-alive to clients, a pool of connections to backends.

nginx: `keepalive_timeout`, and for backends `upstream { keepalive 64; }` with `proxy_http_version 1.1`; Python's
http.server: `protocol_version = "HTTP/1.1"`; databases: a connection pool. A thread or a process per connection costs
least if connections live long.

## Source

tcp(7), accept(2); RFC 9112, section 9.3 (persistence).
"""

from __future__ import annotations

import re

from netprobe.rules.context import RunContext
from netprobe.rules.costs import has_enough_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "connection-churn"
DOCUMENTATION = parse(__doc__)
_MIN_PER_MESSAGE, _MIN_PER_SECOND = 0.2, 20
_CONNECTION_NS = 20_000
_CONNECTION_WORK = re.compile(
    r"(__x64_sys_|__arm64_sys_|__se_sys_|__do_sys_|__sys_)(accept4?|connect|close|shutdown|clone3?|fork|vfork)$|"
    r"(tcp_v[46]_syn_recv_sock|tcp_conn_request|tcp_check_req|tcp_v[46]_conn_request|inet_csk_accept|tcp_fin|"
    r"inet_csk_destroy_sock|tcp_time_wait|kernel_clone|do_exit)$"
).match


def evaluate(context: RunContext) -> Result:
    """New connections per message."""
    context.require("messages")
    calls = {row.syscall: row.calls for row in context.calls}
    accepted = sum(calls.get(name, 0) for name in ("accept", "accept4"))
    # UDP sockets are connected as well: without messages from connections that the server opened, none was TCP.
    opened = _of_opened_connections(context)
    connected = calls.get("connect", 0) if opened else 0
    messages = context.matrix.cells.total()
    # Calls of accept() that find no connection are calls as well; each accepted connection is closed.
    accepted = min(accepted, calls.get("close", 0) + calls.get("shutdown", 0))
    new = max(accepted, connected)
    if not context.is_frequent(new, _MIN_PER_SECOND):
        return Pass(CODE, f"{accepted} connections were accepted and {connected} opened")
    if not messages:
        return Inconclusive(CODE, "no TCP message was read: put the server under load")
    if new < _MIN_PER_MESSAGE * messages:
        return Pass(CODE, f"{new / messages:.3f} new connections per message")
    return _finding(context, accepted, connected, messages)


def _of_opened_connections(context: RunContext) -> int:
    """Messages read from TCP connections that the server opened itself."""
    table = context.run.tables["messages"]
    if "accepted" not in table.columns:
        return context.matrix.cells.total()
    return sum(messages - accepted for messages, accepted in table.rows("messages", "accepted"))


def _finding(context: RunContext, accepted: int, connected: int, messages: int) -> Finding:
    new = max(accepted, connected)
    cost = min(100.0, context.share_of_cpu(new * _CONNECTION_NS))
    evidence = [
        Evidence(f"{accepted} connections were accepted, {context.rate_text(accepted)}", accepted),
        Evidence(f"{connected} connections were opened, {context.rate_text(connected)}", connected),
        Evidence(f"{messages / new:.1f} messages per connection", messages / new),
    ]
    if has_enough_samples(context):
        share = context.frames.having(_CONNECTION_WORK)
        cost = share.pct
        evidence.append(
            Evidence(f"{share.pct:.1f} % of the server's time is spent in opening and closing connections", cost, "%")
        )
    who = "Clients connect" if accepted >= connected else "The server connects to its backends"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{who} anew for every {messages / new:.1f} messages, {new / context.seconds:.0f} times per second.",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=cost,
    )
