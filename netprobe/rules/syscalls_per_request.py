"""The server makes many more system calls per request than necessary.

## Detection

Input: system calls of the serving threads and the number of requests, reported by the load generator (`--requests`,
`--requests-from`) or estimated from the messages read on accepted connections. A request needs one receive, one send
and at most one wait. A finding is reported if a call is made at least 3 times per request, or all calls together at
least 10 times. Eight calls per new connection are not counted, nor are the calls of other findings (waits of
`epoll-zero-timeout`, epoll_ctl of `epoll-ctl-churn`).

The cost is an estimate for the calls in excess of one per request: their share of the samples, or 0.2 µs per call if
there are too few samples.

## Why it matters

Each call enters and leaves the kernel and pays for CPU vulnerability mitigations: 0.1 to 0.5 µs before any work is
done.

A request to an in-memory service takes about 10 µs in total.

## Fix

Reduce the number of the most frequent calls: `netprobe flame` shows their callers.

`read`/`recv` until EAGAIN, more than once per request: read into a larger buffer, and stop after a short read. Several
`write`/`send`: gather with `writev()`/`sendmsg()`, or use MSG_MORE. `clock_gettime` or `time` as system calls: check
`/sys/devices/system/clocksource`; the vDSO supports only clock sources such as tsc. `futex`: a contended lock, or
hand-offs between threads. `setsockopt` per request: set the option once, on the listener. `stat`, `open`: keep files
open (nginx: `open_file_cache`). Alternatively io_uring, which submits many operations with one call.

## Source

syscalls(2), send(2) (MSG_MORE), io_uring(7); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, with
3 calls for two requests in the optimized server.
"""

from __future__ import annotations

import re
from collections import Counter

from netprobe.analysis.request_count import ServedRequests
from netprobe.rules import epoll_ctl_churn, epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import SYSCALL_NS, has_enough_samples, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "syscalls-per-request"
DOCUMENTATION = parse(__doc__)
_MIN_ONE_CALL, _MIN_ALL_CALLS = 3.0, 10.0
_CALLS_PER_CONNECTION = 8
_MIN_REQUESTS = 100
_SHOWN = 6
_NEEDED = 1.0


def evaluate(context: RunContext) -> Result:
    """Calls per request of the serving threads."""
    calls = _calls(context)
    requests = context.requests
    if requests is None or requests.count < _MIN_REQUESTS:
        return Inconclusive(CODE, "the number of requests is not known: --requests N or --requests-from FILE")
    connections = calls["accept"] + calls["accept4"]
    total = (calls.total() - _CALLS_PER_CONNECTION * connections) / requests.count
    excessive = Counter(
        {
            call: count
            for call, count in calls.items()
            if (count - 2 * connections) / requests.count >= _MIN_ONE_CALL
        }
    )  # fmt: skip
    if not excessive and total < _MIN_ALL_CALLS:
        return Pass(CODE, f"{total:.1f} system calls per request")
    return _finding(context, calls, excessive or Counter(dict(calls.most_common(_SHOWN))), requests)


def _calls(context: RunContext) -> Counter[str]:
    if context.imported:
        # Imported counts do not show which threads serve: all threads are counted.
        return Counter({row.syscall: row.calls for row in context.calls})
    serving = {(thread.pid, thread.tid) for thread in context.reactors}
    calls: Counter[str] = Counter()
    zero_timeouts = bool(context.cause(epoll_zero_timeout))
    for row in context.calls_by_thread:
        is_wait = row.syscall.startswith("epoll_") and row.timeouts
        if (row.pid, row.tid) in serving and not (zero_timeouts and is_wait):
            calls[row.syscall] += row.calls
    if context.cause(epoll_ctl_churn):
        del calls["epoll_ctl"]
    return calls


def _finding(context: RunContext, calls: Counter[str], excessive: Counter[str], requests: ServedRequests) -> Finding:
    cost = _cost(context, excessive, requests.count)
    per_request = {call: count / requests.count for call, count in calls.most_common()}
    worst = [call for call, _ in excessive.most_common(3)]
    origin = f"estimated from {requests.source}" if requests.estimated else f"from {requests.source}"
    return Finding(
        CODE,
        Severity.of(cost),
        f"A request takes {sum(per_request.values()):.1f} system calls, mainly {', '.join(worst)}.",
        (
            Evidence(f"{requests.count:.0f} requests, {origin}", requests.count),
            *(
                Evidence(f"{call}: {number:.2f} per request, {context.rate_text(calls[call])}", number)
                for call, number in list(per_request.items())[:_SHOWN]
            ),
            *unknown_cost_evidence(context),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=f"Here: look at the callers of {worst[0]}.",
    )


def _cost(context: RunContext, excessive: Counter[str], requests: float) -> float:
    excess = {call: max(0.0, count - _NEEDED * requests) for call, count in excessive.items()}
    if not has_enough_samples(context):
        return min(100.0, context.share_of_cpu(sum(excess.values()) * SYSCALL_NS))
    shares = (_sample_share(context, call) * excess[call] / count for call, count in excessive.items())
    return min(100.0, sum(shares))


def _sample_share(context: RunContext, call: str) -> float:
    # Which of these names a kernel's function has depends on the compiler's inlining.
    names = re.compile(rf"(__(x64|arm64|se|do)_sys_|__sys_|do_sys_|ksys_){re.escape(call)}(\.\w+)*$")
    return context.frames.having(names.match).pct
