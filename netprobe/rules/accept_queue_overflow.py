"""Connections are lost because the queue of a listener is full.

## Detection

Input: the counters ListenOverflows and ListenDrops of the target's network namespaces during the recording, and the
queues of its listeners. A finding is reported if at least one connection per second overflowed, or ten in all, and the
target has a listener.

The cost is a note of 3 % as long as connections are lost: the client sends its SYN or its first data again after one
second, which no CPU time shows.

## Why it matters

A client whose connection is dropped tries again after 1 s, then 2 s, then 4 s: such requests take seconds.

The queue of a listener holds at most the smaller of the backlog of listen() and net.core.somaxconn.

## Fix

Raise the backlog of listen() and net.core.somaxconn, and accept more per wake-up.

`sysctl net.core.somaxconn=4096`; nginx: `listen … backlog=4096`; Redis: tcp-backlog; Python: `listen(4096)` (the
default of socketserver is 5). Accept until EAGAIN in each wake-up. If the serving threads are saturated, a longer queue
only moves the wait: add workers.

## Source

listen(2), tcp(7); `tcp_v4_syn_recv_sock()` in net/ipv4/tcp_ipv4.c, `sk_acceptq_is_full()`.
"""

from __future__ import annotations

from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "accept-queue-overflow"
DOCUMENTATION = parse(__doc__)
_MIN_PER_SECOND, _MIN_COUNT = 1.0, 10
_COST_PCT = 3.0


def evaluate(context: RunContext) -> Result:
    """Overflows of the target's network namespaces."""
    context.require("network_counters", "listeners")
    counters = dict(context.run.tables["network_counters"].rows("counter", "value"))
    overflows, drops = counters.get("TcpExt.ListenOverflows", 0), counters.get("TcpExt.ListenDrops", 0)
    rows = context.run.tables["listeners"].rows("port", "inode", "queued")
    queues = {(port, inode): queued for port, inode, queued in rows}
    seconds = context.run.elapsed_seconds
    lost = max(overflows, drops)
    if not queues:
        return Pass(CODE, "the server has no TCP listener")
    if lost < _MIN_COUNT and lost < _MIN_PER_SECOND * seconds:
        return Pass(CODE, f"{lost} connections overflowed")
    (port, _), queued = max(queues.items(), key=lambda one: one[1])
    return Finding(
        CODE,
        Severity.of(_COST_PCT),
        f"{lost / seconds:.0f} connections per second are dropped because the queue of a listener is full.",
        (
            Evidence(f"ListenOverflows: {overflows}, ListenDrops: {drops} in {seconds:.1f} s", lost),
            Evidence(f"the longest queue is that of port {port}: {queued} connections wait to be accepted", queued),
        ),
        DOCUMENTATION,
        cost_pct=_COST_PCT,
        of="thread time",
    )
