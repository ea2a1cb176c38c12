"""The event loop asks epoll with a timeout of 0: it never waits, so the kernel never busy-polls.

## What it sees

System calls of the epoll_wait family by class of timeout, from their arguments. It is a finding where at least half
of them have a timeout of 0, and at least 100 a second. A loop that asks with 0 only while it has other work, and waits
otherwise, stays below.

Imported counts have no timeouts. There it is a finding, and a note, where waits return with nothing: the calls are
more than what could follow an event (the receives or the sends, whichever are more, and new connections), by 1 % and
100 a second. A timeout of 0 does that; so does a short one that runs out, and the claim says so.

The cost is an estimate. The share of the samples in these calls, times the share of calls with 0, times the share of
calls that had nothing to give (more calls than messages). Where busy polling is asked for, also what it would save:
1 µs for each packet that comes by softirq.

## Why it matters

With a timeout of 0 the kernel returns before it comes to busy polling, whatever the settings: packets then wait for
an interrupt and a softirq. And where nothing is ready the loop burns its CPU in system calls that return nothing.

## How to fix it

Wait. With nothing else to do, `epoll_wait(…, -1)`. A loop with timers and queues of its own waits until the next of
them: `epoll_pwait2()` (Linux 5.11, glibc 2.35 has its wrapper) takes nanoseconds; 100 µs is a good compromise between
busy polling and the latency of other work. Let other threads wake the loop by an eventfd.

## Source

`ep_poll()` in fs/eventpoll.c (the return for `timed_out` stands before `ep_busy_loop()`); epoll_wait(2); the
investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Impatiently Waiting.
"""

from __future__ import annotations

import re
from collections import Counter

from netprobe.analysis.requests import READS, RECEIVES, SENDS, WRITES
from netprobe.analysis.syscalls import SyscallRow
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import INTERRUPT_NS, of_threads, unknown_cost, with_samples
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "epoll-zero-timeout"
_LEAST_PCT, _LEAST_PER_SECOND, _LEAST_IDLE_PCT = 50.0, 100, 1.0
_WAITS, _CONNECTIONS = ("epoll_wait", "epoll_pwait"), ("accept", "accept4", "connect")
_IN_THE_CALL = re.compile(r"(__x64_sys_|__arm64_sys_|__se_sys_|do_)epoll_p?wait2?$").match


def evaluate(context: RunContext) -> Result:
    """The share of waits that do not wait."""
    if context.imported:
        return _of_calls(context)
    waits = [row for row in context.calls_by_thread if row.syscall.startswith("epoll_") and row.timeouts]
    timeouts: Counter[str] = sum((row.timeouts for row in waits), Counter())
    zero, total = timeouts["zero"], timeouts.total()
    if zero < _LEAST_PER_SECOND * context.seconds or 100 * zero < _LEAST_PCT * total:
        return Pass(CODE, f"{zero} of {total} epoll waits have a timeout of 0")
    return _finding(context, waits, zero, total)


def _of_calls(context: RunContext) -> Result:
    """Without timeouts. How often it waits is a sign: under load a loop that waits gets several events at a time."""
    waits = sum(row.calls for row in context.calls if row.syscall.startswith(_WAITS))
    imported = context.run.info.imported
    if not waits and not (imported and imported.only_most_frequent):
        return Pass(CODE, "it does not wait with epoll")
    a_request = f"{waits / context.requests.count:.2f} for each request, " if context.requests else ""
    idle = waits - _events(context)
    if context.often(idle, _LEAST_PER_SECOND) and 100 * idle >= _LEAST_IDLE_PCT * waits:
        return _of_idle_waits(context, waits, idle)
    words = f"{waits} waits, {a_request}see netprobe syscalls"
    return Inconclusive(CODE, f"the timeouts are not in what was imported ({words})")


def _events(context: RunContext) -> int:
    """Waits that can have had something to give: each is followed by a receive, a send or a new connection."""
    calls = Counter({row.syscall: row.calls for row in context.calls})
    received, sent = (sum(calls[name] for name in names) for names in ((*RECEIVES, *READS), (*SENDS, *WRITES)))
    return max(received, sent) + sum(calls[name] for name in _CONNECTIONS)


def _of_idle_waits(context: RunContext, waits: int, idle: int) -> Finding:
    calls = sorted({row.syscall for row in context.calls if row.syscall.startswith(_WAITS)})
    share = 100 * idle / waits
    a_request = waits / context.requests.count if context.requests else None
    often = "more often" if a_request is None else f"{a_request:.2f} times for each request, more often"
    of_requests = () if a_request is None else (Evidence(f"{a_request:.2f} waits for each request", a_request),)
    return Finding(
        CODE,
        Severity.NOTE,
        f"{', '.join(calls)} is called {often} than anything is received or sent: at least {share:.0f} % of the waits "
        "return with nothing, as with a timeout of 0 or one that runs out.",
        (
            *of_requests,
            Evidence(f"{waits} waits, {context.pace(waits)}", waits),
            Evidence(f"{idle} of them, {share:.1f} %, are more than receives, sends and new connections", share, "%"),
            Evidence("what their timeouts are was not imported"),
            *unknown_cost(context),
        ),
        "With a timeout of 0 the kernel returns before it would poll; and a wait that returns with nothing costs a "
        "system call.",
        "See the timeouts with netprobe syscalls. Where they are 0: epoll_wait(…, -1), or epoll_pwait2 with some "
        "100 µs where the loop has other work.",
        "ep_poll() in fs/eventpoll.c; epoll_wait(2)",
    )


def _finding(context: RunContext, waits: list[SyscallRow], zero: int, total: int) -> Finding:
    share = 100 * zero / total
    cost = _cost(context, zero, total)
    calls = sorted({row.syscall for row in waits if row.timeouts["zero"]})
    threads = {row.thread for row in waits if row.timeouts["zero"]}
    all_or = "All" if zero == total else f"{share:.0f} % of"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{all_or} calls of {', '.join(calls)} have a timeout of 0: they never wait, and never busy-poll.",
        (
            Evidence(f"{zero} of {total} waits have a timeout of 0, {zero / context.seconds:.0f} a second", share, "%"),
            Evidence(f"by {of_threads(threads)}", len(threads), "threads"),
            *_per_message(context, total),
        ),
        "The kernel returns before it would poll, so each packet waits for interrupt and softirq; with nothing ready, "
        "the loop spends its CPU on calls that return nothing.",
        "Wait with a timeout: epoll_wait(…, -1), or epoll_pwait2 with some 100 µs where the loop has other work.",
        "ep_poll() in fs/eventpoll.c; epoll_wait(2)",
        cost,
    )


def _per_message(context: RunContext, waits: int) -> list[Evidence]:
    messages = _messages(context)
    return [Evidence(f"{waits / messages:.1f} waits for each message", waits / messages)] if messages else []


def _messages(context: RunContext) -> int:
    try:
        return sum(context.matrix.cells.values())
    except MissingDataError:
        return 0


def _cost(context: RunContext, zero: int, total: int) -> float:
    empty = max(0.0, 1 - _messages(context) / total)
    cost = context.frames.having(_IN_THE_CALL).pct * empty * zero / total if with_samples(context) else 0.0
    try:
        if context.polling.asked_by_server or context.polling.asked_by_machine:
            packets = sum(napi.by_softirq for napi in context.polling.napis)
            cost += context.share_of_cpu(packets * INTERRUPT_NS)
    except MissingDataError:
        pass
    return min(100.0, cost)
