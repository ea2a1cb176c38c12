"""Datagrams are dropped because the receive buffer of a UDP socket is full.

## Detection

Input: the drop counter of each UDP socket of the target at start and stop, and the datagrams that were delivered in its
network namespaces (InDatagrams). A finding is reported if at least 10 datagrams and at least 0.1 % were dropped.

The cost is the share of the datagrams that were dropped. It is a share of the requests, not of measured time.

## Why it matters

The client gets no answer, and repeats its request after a timeout of seconds.

The kernel counts the drop; the server has no way to notice it.

## Fix

Read faster: more threads with a SO_REUSEPORT socket each, recvmmsg(), less work between two reads.

For short bursts, a larger receive buffer: SO_RCVBUF up to `sysctl net.core.rmem_max`. A larger buffer does not help
against a load that is permanently too high.

## Source

socket(7), udp(7); `__udp_enqueue_schedule_skb()` in net/ipv4/udp.c; the column `drops` of /proc/net/udp.
"""

from __future__ import annotations

from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "receive-drops"
DOCUMENTATION = parse(__doc__)
_MIN_COUNT, _MIN_PCT = 10, 0.1


def evaluate(context: RunContext) -> Result:
    """Datagrams that the target's sockets dropped."""
    context.require("udp_sockets", "network_counters")
    tables = context.run.tables
    # Processes that share a socket have a row each.
    sockets = {
        inode: (port, dropped) for port, inode, dropped in tables["udp_sockets"].rows("port", "inode", "dropped")
    }
    if not sockets:
        return Pass(CODE, "the server has no UDP socket with a port of its own")
    dropped = sum(count for _, count in sockets.values())
    counters = dict(tables["network_counters"].rows("counter", "value"))
    delivered = sum(counters.get(name, 0) for name in ("Udp.InDatagrams", "Udp6.InDatagrams"))
    share = 100 * dropped / (dropped + delivered) if dropped else 0.0
    if dropped < _MIN_COUNT or share < _MIN_PCT:
        return Pass(CODE, f"{dropped} datagrams were dropped by {len(sockets)} UDP sockets, {share:.2f} %")
    port, most = max(sockets.values(), key=lambda one: one[1])
    seconds = context.run.elapsed_seconds
    return Finding(
        CODE,
        Severity.of(share),
        f"{share:.1f} % of the datagrams are dropped because a receive buffer is full.",
        (
            Evidence(f"{dropped} datagrams were dropped, {dropped / seconds:.0f} per second", dropped),
            Evidence(f"most by a socket of port {port}: {most}", most),
            Evidence(f"{delivered} datagrams were delivered in the network namespaces of the server", delivered),
        ),
        DOCUMENTATION,
        cost_pct=share,
        of="thread time",
    )
