"""The event loop calls epoll_wait() with a zero timeout: it never blocks, so the kernel never busy-polls.

## Detection

Input: system calls of the epoll_wait family by class of their timeout argument. A finding is reported if at least half
of them have a zero timeout, and at least 100 per second. A loop that uses a zero timeout only while it has other work,
and blocks in at least 0.2 % of its waits, passes unless the cost is at least 0.5 % or busy polling is requested.

Imported counts do not contain timeouts. A note is reported if waits return without events: the number of waits exceeds
the number of events (receives or sends, whichever are more, plus new connections) by 1 % and 100 per second. The reason
is a zero timeout or a short one that expires; the summary states both.

The cost is an estimate: the share of the samples in these calls, times the share of calls with a zero timeout, times
the share of calls that returned no event (more calls than messages). If busy polling is requested, the time that
polling would save is added: 1 µs for each packet that arrives by softirq.

## Why it matters

With a zero timeout the kernel returns before it busy-polls, so each packet waits for an interrupt and a softirq; while
no event is ready, the loop spends its CPU on system calls that return nothing.

## Fix

Block in the wait: `epoll_wait(…, -1)`, or `epoll_pwait2()` with about 100 µs if the loop has other work.

A loop with timers and queues of its own waits until the next of them. `epoll_pwait2()` (Linux 5.11, wrapper in glibc
2.35) takes nanoseconds; 100 µs is a good compromise between busy polling and the latency of other work. Other threads
wake the loop with an eventfd.

## Source

`ep_poll()` in fs/eventpoll.c (it returns for `timed_out` before it calls `ep_busy_loop()`); epoll_wait(2); the
investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Impatiently Waiting.
"""

from __future__ import annotations

import re
from collections import Counter

from netprobe.analysis.request_count import READS, RECEIVES, SENDS, WRITES
from netprobe.analysis.syscalls import SyscallRow
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import INTERRUPT_NS, has_enough_samples, labels, thread_list, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "epoll-zero-timeout"
DOCUMENTATION = parse(__doc__)
_MIN_ZERO_PCT, _MIN_PER_SECOND, _MIN_IDLE_PCT = 50.0, 100, 1.0
# Loops with a part of blocking waits block when no event is ready.
_MIN_BLOCKING_PCT = 0.2
_WAITS, _CONNECTIONS = ("epoll_wait", "epoll_pwait"), ("accept", "accept4", "connect")
_IN_EPOLL_WAIT = re.compile(r"(__x64_sys_|__arm64_sys_|__se_sys_|do_)epoll_p?wait2?$").match


def evaluate(context: RunContext) -> Result:
    """The share of waits with a zero timeout."""
    if context.imported:
        return _of_imported_counts(context)
    waits = [row for row in context.calls_by_thread if row.syscall.startswith("epoll_") and row.timeouts]
    timeouts: Counter[str] = sum((row.timeouts for row in waits), Counter())
    zero, total = timeouts["zero"], timeouts.total()
    if zero < _MIN_PER_SECOND * context.seconds or 100 * zero < _MIN_ZERO_PCT * total:
        return Pass(CODE, f"{zero} of {total} epoll waits have a zero timeout")
    found = _finding(context, waits, zero, total)
    blocks = 100 * (total - zero) >= _MIN_BLOCKING_PCT * total
    if blocks and found.severity is Severity.NOTE and not _polling_is_requested(context):
        return Pass(CODE, f"{zero} of {total} epoll waits have a zero timeout, and the loop blocks when it is idle")
    return found


def _of_imported_counts(context: RunContext) -> Result:
    """Counts without timeouts. Under load a blocking loop receives several events per wait."""
    waits = sum(row.calls for row in context.calls if row.syscall.startswith(_WAITS))
    imported = context.run.info.imported
    if not waits and not (imported and imported.only_most_frequent):
        return Pass(CODE, "no call of the epoll_wait family")
    idle = waits - _events(context)
    if context.is_frequent(idle, _MIN_PER_SECOND) and 100 * idle >= _MIN_IDLE_PCT * waits:
        return _idle_waits_finding(context, waits, idle)
    per_request = f"{waits / context.requests.count:.2f} per request, " if context.requests else ""
    return Inconclusive(CODE, f"timeouts were not imported ({waits} waits, {per_request}see netprobe syscalls)")


def _events(context: RunContext) -> int:
    """Upper limit of the waits that returned an event: a receive, a send or a new connection follows each of them."""
    calls = Counter({row.syscall: row.calls for row in context.calls})
    received, sent = (sum(calls[name] for name in names) for names in ((*RECEIVES, *READS), (*SENDS, *WRITES)))
    return max(received, sent) + sum(calls[name] for name in _CONNECTIONS)


def _idle_waits_finding(context: RunContext, waits: int, idle: int) -> Finding:
    calls = sorted({row.syscall for row in context.calls if row.syscall.startswith(_WAITS)})
    share = 100 * idle / waits
    per_request = waits / context.requests.count if context.requests else None
    times = "more often" if per_request is None else f"{per_request:.2f} times per request, more often"
    request_evidence = () if per_request is None else (Evidence(f"{per_request:.2f} waits per request", per_request),)
    return Finding(
        CODE,
        Severity.NOTE,
        f"{', '.join(calls)} is called {times} than receives and sends: at least {share:.0f} % of the waits return "
        "without an event, because of a zero timeout or one that expires.",
        (
            *request_evidence,
            Evidence(f"{waits} waits, {context.rate_text(waits)}", waits),
            Evidence(f"{idle} waits, {share:.1f} %, in excess of receives, sends and new connections", share, "%"),
            Evidence("timeouts were not imported"),
            *unknown_cost_evidence(context),
        ),
        DOCUMENTATION,
        specific_fix="Check the timeouts with netprobe syscalls first.",
    )


def _finding(context: RunContext, waits: list[SyscallRow], zero: int, total: int) -> Finding:
    share = 100 * zero / total
    cost = _cost(context, zero, total)
    calls = sorted({row.syscall for row in waits if row.timeouts["zero"]})
    threads = labels((row.pid, row.tid, row.thread) for row in waits if row.timeouts["zero"])
    quantity = "All" if zero == total else f"{share:.0f} % of"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{quantity} calls of {', '.join(calls)} have a zero timeout: they never block and never busy-poll.",
        (
            Evidence(
                f"{zero} of {total} waits have a zero timeout, {zero / context.seconds:.0f} per second", share, "%"
            ),
            Evidence(f"by {thread_list(threads.values())}", len(threads), "threads"),
            *_waits_per_message(context, total),
        ),
        DOCUMENTATION,
        cost_pct=cost,
    )


def _waits_per_message(context: RunContext, waits: int) -> list[Evidence]:
    messages = _messages(context)
    return [Evidence(f"{waits / messages:.1f} waits per message", waits / messages)] if messages else []


def _messages(context: RunContext) -> int:
    try:
        return sum(context.matrix.cells.values())
    except MissingDataError:
        return 0


def _cost(context: RunContext, zero: int, total: int) -> float:
    empty = max(0.0, 1 - _messages(context) / total)
    cost = context.frames.having(_IN_EPOLL_WAIT).pct * empty * zero / total if has_enough_samples(context) else 0.0
    if _polling_is_requested(context):
        packets = sum(napi.by_softirq for napi in context.polling.napis)
        cost += context.share_of_cpu(packets * INTERRUPT_NS)
    return min(100.0, cost)


def _polling_is_requested(context: RunContext) -> bool:
    try:
        return context.polling.requested
    except MissingDataError:
        return False
