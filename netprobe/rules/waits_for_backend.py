"""Serving threads wait for the answers of a backend.

## Detection

Input: the time for which the serving threads sleep on connections that the server opened itself, by remote address and
port, in whatever call (receive, send, connect, or a poll of this one descriptor). For a server with TCP clients, Unix
sockets count as well. A finding is reported if these sleeps take at least 10 % of the time that the threads spend on
requests (running, runnable or blocked), and at least 1 % of all their time.

The cost is this share of the time spent on requests.

An event loop that waits for a backend in epoll together with its clients is not seen here: its threads are free for
other requests meanwhile.

## Why it matters

A thread that waits for a backend serves no other request: the number of threads limits the requests at a time.

Throughput is at most threads divided by the time of a request, whatever the CPUs could do.

## Fix

Make the backend answer faster, ask it less often (cache, batch, one query instead of several), or let requests overlap:
more workers or threads, or an asynchronous client.

Keep connections to the backend open in a pool. With n workers and a wait of w seconds per request the server serves at
most n/w requests per second; the CPUs are idle meanwhile, so more workers cost little.

## Source

Brendan Gregg, Systems Performance, chapter 5 (off-CPU analysis); `sk_wait_data()` in net/core/sock.c.
"""

from __future__ import annotations

from netprobe.analysis.time_budget import SleepObject
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "waits-for-backend"
DOCUMENTATION = parse(__doc__)
_MIN_SHARE_PCT, _MIN_ALIVE_PCT = 10.0, 1.0
_SHOWN = 3


def evaluate(context: RunContext) -> Result:
    """Sleeps on connections that the server opened."""
    serving = context.serving_time
    backend = serving.backend
    share = serving.share_pct(backend.total_ns)
    if share < _MIN_SHARE_PCT or serving.alive_pct(backend.total_ns) < _MIN_ALIVE_PCT:
        return Pass(CODE, f"the serving threads wait for backends {share:.1f} % of the time spent on requests")
    largest, largest_ns = backend.objects.most_common(1)[0]
    at_once = backend.total_ns / 1e9 / context.seconds
    threads = len(serving.threads)
    evidence = [
        Evidence(
            f"{_name(context, one)}: {serving.alive_pct(ns):.1f} % of the time of {threads} serving "
            f"thread{'' if threads == 1 else 's'}",
            serving.alive_pct(ns),
            "%",
        )
        for one, ns in backend.objects.most_common(_SHOWN)
    ]
    evidence += [
        Evidence(f"in {', '.join(call for call, _ in backend.calls.most_common(_SHOWN))}"),
        Evidence(f"{backend.sleeps} waits of {backend.mean_ms:.2f} ms on average", backend.mean_ms, "ms"),
        Evidence(f"{at_once:.1f} of {threads} serving threads wait at a time on average", at_once, "threads"),
    ]
    return Finding(
        CODE,
        Severity.of(share),
        f"The serving threads wait for {_name(context, largest)} {serving.share_pct(largest_ns):.0f} % of the time "
        "that they spend on requests.",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )


def _name(context: RunContext, one: SleepObject) -> str:
    """The address of a backend, with the name of its process if it runs on this host."""
    if "peers" in context.run.tables:
        for process, kind, port in context.run.tables["peers"].rows("process", "kind", "port"):
            if kind == "backend" and port == one.port and one.kind == "connected":
                return f"{one} ({process})"
    return str(one)
