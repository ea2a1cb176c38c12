"""Serving threads wait for storage.

## Detection

Input: the time for which the serving threads sleep in fsync() and its like, uninterruptibly in other calls on files, or
in page faults that read a file. A finding is reported if these sleeps take at least 5 % of the time that the threads
spend on requests (running, runnable or blocked), and at least 1 % of all their time.

The cost is this share of the time spent on requests.

## Why it matters

A serving thread that waits for a disk serves no other request: its connections wait as long as the disk does.

A write that must reach the disk takes from tens of microseconds to tens of milliseconds, and the queue of the device is
shared with other processes.

## Fix

Take the waits out of the serving threads: commit for several requests at once, write in a thread of its own or by
io_uring, and log asynchronously.

fsync() per request: group the commits (group commit, `appendfsync everysec`, `synchronous_commit=off` where a loss of
the last second is acceptable). O_SYNC or O_DSYNC: open without it and call fdatasync() for a batch. Reads: a cache in
memory, or a pool of threads for files (nginx: `aio threads`). Access logs: a buffer (`access_log … buffer=64k`).

## Source

fsync(2), open(2) (O_SYNC); Documentation/accounting/delay-accounting.rst.
"""

from __future__ import annotations

from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "storage-wait"
DOCUMENTATION = parse(__doc__)
_MIN_SHARE_PCT, _MIN_ALIVE_PCT = 5.0, 1.0
_SHOWN = 4


def evaluate(context: RunContext) -> Result:
    """Sleeps for storage."""
    serving = context.serving_time
    storage = serving.storage
    share = serving.share_pct(storage.total_ns)
    if share < _MIN_SHARE_PCT or serving.alive_pct(storage.total_ns) < _MIN_ALIVE_PCT:
        return Pass(CODE, f"the serving threads wait for storage {share:.1f} % of the time spent on requests")
    names = [call for call, _ in storage.calls.most_common(_SHOWN)]
    evidence = [
        Evidence(
            f"{call}: {serving.alive_pct(ns):.1f} % of the time of the serving threads", serving.alive_pct(ns), "%"
        )
        for call, ns in storage.calls.most_common(_SHOWN)
    ]
    evidence.append(Evidence(f"{storage.sleeps} waits of {storage.mean_ms:.2f} ms on average", storage.mean_ms, "ms"))
    if context.requests and context.requests.count:
        per_request = storage.sleeps / context.requests.count
        evidence.append(Evidence(f"{per_request:.2f} waits per {context.requests.unit}", per_request))
    return Finding(
        CODE,
        Severity.of(share),
        f"The serving threads wait for storage in {', '.join(names)}, {share:.0f} % of the time that they spend on "
        "requests.",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )
