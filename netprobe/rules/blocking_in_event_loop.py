"""An event loop sleeps in other calls than the one in which it waits for events.

## Detection

Input: serving threads that wait in epoll, poll or select and handle several connections each. A finding is reported if
they sleep in timers (nanosleep) or wait for an answer over UDP, such as that of a DNS server, for at least 5 % of the
time that they spend on requests, and 1 % of all their time. Waits for a backend or for storage have findings of their
own (`waits-for-backend`, `storage-wait`).

The cost is this share of the time spent on requests.

## Why it matters

All connections of an event loop wait while it sleeps in another call.

The delay adds to the latency of every request that is under way, not only to that of the request that made the call.

## Fix

Never block in the event loop: resolve names asynchronously or in advance, use a timer of the event loop instead of
sleep, and move what must block to a pool of threads.

Name look-ups: `getaddrinfo_a()`, c-ares, a resolver thread, or a local cache. Sleeps: timerfd_create(2) or the timeout
of epoll_wait(2).

## Source

epoll(7), timerfd_create(2), getaddrinfo(3).
"""

from __future__ import annotations

from netprobe.analysis.serving_time import ServingTime
from netprobe.analysis.time_budget import TimeBudget
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "blocking-in-event-loop"
DOCUMENTATION = parse(__doc__)
_WAITS = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2", "select", "pselect6"})
_MIN_SHARE_PCT, _MIN_ALIVE_PCT = 5.0, 1.0


def evaluate(context: RunContext) -> Result:
    """Sleeps in timers, and for answers over UDP."""
    loops = _event_loops(context)
    if not loops:
        return Pass(CODE, "no serving thread waits for events")
    serving = ServingTime(loops, bool(context.matrix.cells))
    other = serving.other
    share = serving.share_pct(other.total_ns)
    if share < _MIN_SHARE_PCT or serving.alive_pct(other.total_ns) < _MIN_ALIVE_PCT:
        return Pass(CODE, f"event loops sleep in timers and for UDP {share:.1f} % of the time spent on requests")
    calls = ", ".join(call for call, _ in other.calls.most_common(3))
    alive = serving.alive_pct(other.total_ns)
    return Finding(
        CODE,
        Severity.of(share),
        f"The event loop sleeps in {calls} for {share:.0f} % of the time that it spends on requests.",
        (
            Evidence(f"{alive:.1f} % of the time of {len(loops)} thread{'' if len(loops) == 1 else 's'}", alive, "%"),
            Evidence(f"{other.sleeps} sleeps of {other.mean_ms:.2f} ms on average", other.mean_ms, "ms"),
            *(Evidence(f"on {one}") for one, _ in other.objects.most_common(2)),
        ),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )


def _event_loops(context: RunContext) -> list[TimeBudget]:
    """Serving threads that wait for several descriptors at once, or would if one of them were not always ready."""
    calling = {(row.pid, row.tid) for row in context.calls_by_thread if row.calls and row.syscall in _WAITS}
    return [row for row in context.serving_time.threads if row.tids & calling or _sleeps_in_poll(row)]


def _sleeps_in_poll(row: TimeBudget) -> bool:
    """A poll() of one descriptor has that as its object."""
    return any(
        sleep.category == "poll" and sum(sleep.objects.values()) * 2 < sleep.total_ns for sleep in row.sleeps.values()
    )
