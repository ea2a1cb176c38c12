"""Registrations of connections are changed with epoll_ctl() for many messages.

## Detection

Input: calls of epoll_ctl() by operation, less four for each connection that the server accepted or opened (add, delete,
and two modifications). Calls that add what is never deleted are no churn, and many of them fail: EPERM answers the
attempt to watch a regular file. In Runs without operations all calls count. A finding is reported if there are at least
0.05 excess calls per message read (of imported counts: per request), and at least 100 per second.

The cost is an estimate: the share of the samples in epoll_ctl(), or 0.5 µs per call if there are too few samples, for
the excess calls.

## Why it matters

Each change is a system call and takes the lock of the epoll set, which the waiting thread needs as well.

The kernel also looks up the descriptor in the tree of the set. Registrations for a single event (EPOLLONESHOT, or
EPOLLOUT for every response) cost as much as a receive.

## Fix

Register each connection once (EPOLLIN | EPOLLOUT | EPOLLET), and request EPOLLOUT only after `send()` returned EAGAIN.

With edge-triggered events the program keeps the readiness of each connection itself. Read until EAGAIN instead of
re-arming EPOLLONESHOT.

## Source

epoll_ctl(2), epoll(7); `ep_modify()` in fs/eventpoll.c; the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, where 11 % of the requests came with such a call.
"""

from __future__ import annotations

import re
from collections import Counter

from netprobe.rules.context import RunContext
from netprobe.rules.costs import has_enough_samples, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "epoll-ctl-churn"
DOCUMENTATION = parse(__doc__)
_CALLS_PER_CONNECTION = 4
_MIN_PER_MESSAGE, _MIN_PER_SECOND = 0.05, 100
_CALL_NS = 500
_IN_EPOLL_CTL = re.compile(r"(__x64_sys_|__arm64_sys_|__se_sys_|do_)epoll_ctl$").match


def evaluate(context: RunContext) -> Result:
    """Calls in excess of those that connections need."""
    counts = {row.syscall: row.calls for row in context.calls}
    calls = _changes(context, counts.get("epoll_ctl", 0))
    messages = _messages(context)
    connections = sum(counts.get(name, 0) for name in ("accept", "accept4", "connect"))
    excess = calls - _CALLS_PER_CONNECTION * connections
    if not context.is_frequent(excess, _MIN_PER_SECOND):
        return Pass(CODE, f"{calls} calls of epoll_ctl, {connections} new connections")
    if not messages:
        return Inconclusive(CODE, "no TCP message was read: put the server under load")
    if excess < _MIN_PER_MESSAGE * messages:
        return Pass(CODE, f"{calls / messages:.3f} calls of epoll_ctl per message")
    return _finding(context, calls, excess, messages)


def _changes(context: RunContext, calls: int) -> int:
    """Calls that change registrations: modifications, and pairs of add and delete. All calls without operations."""
    by_operation: Counter[str] = Counter()
    if "epoll_changes" in context.run.tables:
        for operation, count in context.run.tables["epoll_changes"].rows("operation", "calls"):
            by_operation[operation] += count
    if not by_operation:
        return calls
    return by_operation["modify"] + 2 * min(by_operation["add"], by_operation["delete"])


def _messages(context: RunContext) -> float:
    """Messages read by the server; of imported counts, one per request."""
    if not context.imported:
        return context.matrix.cells.total()
    return context.requests.count if context.requests else 0


def _finding(context: RunContext, calls: int, excess: int, messages: float) -> Finding:
    cost = context.share_of_cpu(excess * _CALL_NS)
    evidence = [
        Evidence(f"{calls} calls of epoll_ctl, {context.rate_text(calls)}", calls),
        Evidence(f"{calls / messages:.2f} calls per message read", calls / messages),
        *unknown_cost_evidence(context),
    ]
    if has_enough_samples(context):
        share = context.frames.having(_IN_EPOLL_CTL)
        evidence.append(Evidence(f"{share.pct:.1f} % of the server's time is spent in epoll_ctl", share.pct, "%"))
        cost = share.pct * excess / calls
    return Finding(
        CODE,
        Severity.of(cost),
        f"epoll_ctl is called {calls / messages:.2f} times per message, although connections stay registered.",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=min(100.0, cost),
    )
