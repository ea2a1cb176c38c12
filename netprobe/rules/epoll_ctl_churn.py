"""Interest in a connection is changed with epoll_ctl() again and again.

## What it sees

Calls of epoll_ctl() by the threads that serve, less four for each accepted or opened connection (added, changed once,
removed; and the same for its other end in a proxy). It is a finding where the rest is at least 0.05 for each message
read (of imported counts: each request), and at least 100 a second.

The cost is an estimate: the share of the samples in epoll_ctl(), without samples 0.5 µs a call, for the calls above
what is needed.

## Why it matters

Each change is a system call, a lock of the set that the waiting thread takes as well, and a look-up in its tree.
Registrations that are made for one event and taken back after it (EPOLLONESHOT, EPOLLOUT for every answer) cost as much
as a receive.

## How to fix it

Register once, and leave it: EPOLLIN | EPOLLOUT | EPOLLET and remember in the program which end may be used. Ask for
EPOLLOUT only when a send() returned EAGAIN. Read until EAGAIN instead of re-arming EPOLLONESHOT.

## Source

epoll_ctl(2), epoll(7); `ep_modify()` in fs/eventpoll.c; the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, where 11 % of the requests came with one.
"""

from __future__ import annotations

import re

from netprobe.rules.context import RunContext
from netprobe.rules.costs import unknown_cost, with_samples
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "epoll-ctl-churn"
_A_CONNECTION = 4
_LEAST_PER_MESSAGE, _LEAST_PER_SECOND = 0.05, 100
_NS = 500
_IN_THE_CALL = re.compile(r"(__x64_sys_|__arm64_sys_|__se_sys_|do_)epoll_ctl$").match


def evaluate(context: RunContext) -> Result:
    """Changes beyond what connections need."""
    calls = {row.syscall: row.calls for row in context.calls}
    made = calls.get("epoll_ctl", 0)
    messages = _messages(context)
    connections = sum(calls.get(name, 0) for name in ("accept", "accept4", "connect"))
    excess = made - _A_CONNECTION * connections
    if not context.often(excess, _LEAST_PER_SECOND):
        return Pass(CODE, f"{made} calls of epoll_ctl, {connections} new connections")
    if not messages:
        return Inconclusive(CODE, "no TCP message was read: put the server under load")
    if excess < _LEAST_PER_MESSAGE * messages:
        return Pass(CODE, f"{made / messages:.3f} calls of epoll_ctl for each message")
    return _finding(context, made, excess, messages)


def _messages(context: RunContext) -> float:
    """Read by the server; of imported counts one for each request."""
    if not context.imported:
        return context.matrix.cells.total()
    return context.requests.count if context.requests else 0


def _finding(context: RunContext, made: int, excess: int, messages: float) -> Finding:
    cost = context.share_of_cpu(excess * _NS)
    evidence = [
        Evidence(f"{made} calls of epoll_ctl, {context.pace(made)}", made),
        Evidence(f"{made / messages:.2f} calls for each message read", made / messages),
        *unknown_cost(context),
    ]
    if with_samples(context):
        part = context.frames.having(_IN_THE_CALL)
        evidence.append(Evidence(f"{part.pct:.1f} % of the server's time is spent in them", part.pct, "%"))
        cost = part.pct * excess / made
    return Finding(
        CODE,
        Severity.of(cost),
        f"epoll_ctl is called {made / messages:.2f} times for each message, though connections stay registered.",
        tuple(evidence),
        "Each change is a system call and takes the lock of the set that the waiting thread needs.",
        "Register each connection once (EPOLLIN | EPOLLOUT | EPOLLET), and ask for EPOLLOUT only after EAGAIN.",
        "epoll_ctl(2); ep_modify() in fs/eventpoll.c",
        min(100.0, cost),
    )
