"""The server makes far more system calls for a request than the work needs.

## What it sees

System calls of the threads that serve, for each request; requests are counted by the load generator (`--requests`,
`--requests-from`) or estimated from the messages read on accepted connections. A request needs one receive, one send
and at most one wait. It is a finding where a call is made at least 3 times a request, or all together at least 10
times; eight calls for each new connection are not counted, nor those that other findings name (waits of
`epoll-zero-timeout`, epoll_ctl of `epoll-ctl-churn`).

The cost is an estimate, for the calls above what is needed: the share of the samples that are in the call, without
samples 0.2 µs each.

## Why it matters

Each call goes into the kernel and back, and pays for the mitigations of processor faults on the way: 0.1 to 0.5 µs
before it does anything. A request of an in-memory service takes some 10 µs in all.

## How to fix it

By call: `read`/`recv` until EAGAIN more than once: read into a larger buffer, and stop after a short read. Several
`write`/`send`: gather with `writev()`/`sendmsg()`, or MSG_MORE. `clock_gettime`, `time` as system calls: look at
`/sys/devices/system/clocksource` (the vDSO answers only for tsc and its kin). `futex`: a lock that is fought for, or
hand-offs between threads. `setsockopt` on each request: once, on the listener. `stat`, `open`: keep files open
(nginx: `open_file_cache`). Or io_uring, which takes many in one call.

## Source

syscalls(2), send(2) (MSG_MORE), io_uring(7); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, which
counted 3 calls for two requests in the server that was right.
"""

from __future__ import annotations

import re
from collections import Counter

from netprobe.analysis.requests import Requests
from netprobe.rules import epoll_ctl_churn, epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SYSCALL_NS, unknown_cost, with_samples
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "syscalls-per-request"
_ONE_CALL, _ALL_CALLS = 3.0, 10.0
_A_CONNECTION = 8
_FEWEST_REQUESTS = 100
_SHOWN = 6
_NEEDED = 1.0


def evaluate(context: RunContext) -> Result:
    """Calls by request of the threads that serve."""
    calls = _calls(context)
    requests = context.requests
    if requests is None or requests.count < _FEWEST_REQUESTS:
        return Inconclusive(CODE, "how many requests were served is not known: --requests N or --requests-from FILE")
    connections = calls["accept"] + calls["accept4"]
    total = (calls.total() - _A_CONNECTION * connections) / requests.count
    above = Counter(
        {call: made for call, made in calls.items() if (made - 2 * connections) / requests.count >= _ONE_CALL}
    )
    if not above and total < _ALL_CALLS:
        return Pass(CODE, f"{total:.1f} system calls a request")
    return _finding(context, calls, above or _most(calls), requests)


def _calls(context: RunContext) -> Counter[str]:
    if context.imported:
        # Which threads serve is not known: all of them are taken to.
        return Counter({row.syscall: row.calls for row in context.calls})
    serving = {(here.pid, here.tid) for here in context.reactors}
    calls: Counter[str] = Counter()
    waits = bool(context.cause(epoll_zero_timeout))
    for row in context.calls_by_thread:
        if (row.pid, row.tid) in serving and not (waits and row.syscall.startswith("epoll_") and row.timeouts):
            calls[row.syscall] += row.calls
    if context.cause(epoll_ctl_churn):
        del calls["epoll_ctl"]
    return calls


def _most(calls: Counter[str]) -> Counter[str]:
    return Counter(dict(calls.most_common(_SHOWN)))


def _finding(context: RunContext, calls: Counter[str], above: Counter[str], requests: Requests) -> Finding:
    cost = _cost(context, above, requests.count)
    each = {call: made / requests.count for call, made in calls.most_common()}
    worst = [call for call, _ in above.most_common(3)]
    counted = "" if requests.estimated else f", as {requests.source} says"
    return Finding(
        CODE,
        Severity.of(cost),
        f"A request takes {sum(each.values()):.1f} system calls, most of all {', '.join(worst)}.",
        (
            Evidence(
                f"{requests.count:.0f} requests{counted or ', estimated from ' + requests.source}", requests.count
            ),
            *(
                Evidence(f"{call}: {number:.2f} for each request, {context.pace(calls[call])}", number)
                for call, number in list(each.items())[:_SHOWN]
            ),
            *unknown_cost(context),
        ),
        "Each call goes into the kernel and back, which takes longer than a little work there.",
        f"Look at who calls {worst[0]} (netprobe flame); netprobe explain {CODE} says what helps for which call.",
        "syscalls(2); io_uring(7)",
        cost,
    )


def _cost(context: RunContext, above: Counter[str], requests: float) -> float:
    excess = {call: max(0.0, made - _NEEDED * requests) for call, made in above.items()}
    if not with_samples(context):
        return min(100.0, context.share_of_cpu(sum(excess.values()) * SYSCALL_NS))
    shares = (_share(context, call) * excess[call] / made for call, made in above.items())
    return min(100.0, sum(shares))


def _share(context: RunContext, call: str) -> float:
    return context.frames.having(re.compile(rf"(__x64_sys_|__arm64_sys_|__se_sys_){re.escape(call)}$").match).pct
