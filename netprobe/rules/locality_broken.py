"""Messages are read on another CPU than the receiving CPU, and the listeners do not explain it.

## Detection

A finding is reported if fewer than 90 % of at least 100 messages were read on the CPU that processed their packets, and
no other finding is the cause: listeners in the wrong order, without steering or with unpinned threads; or busy polling
that is requested but does not run or is disturbed (it would bring the packets to the CPU of the reading thread).
Connections from the same host arrive over loopback and are received on the CPU of the client: for them a finding is
reported only if the clients are pinned and the server steers its connections; with clients that are not pinned the
result is inconclusive.

The cost is an estimate: remote messages, 1 µs each, as a share of the server's CPU time.

## Why it matters

Each such message wakes its thread by an inter-processor interrupt and finds socket and data in the cache of another
CPU.

The interrupt of a packet, its protocol processing and the thread that reads it share a socket and its data. On one CPU
all of them find the data in the cache.

## Fix

Place interrupt, protocol processing and thread on one CPU: the interrupt of each queue (`smp_affinity_list`) or RPS
(`rps_cpus`) on the CPU of the thread that reads, threads pinned, and listeners steered by CPU
(SO_ATTACH_REUSEPORT_CBPF).

Set the interrupt of receive queue *i* to CPU *i* (`/proc/irq/N/smp_affinity_list`, and stop irqbalance). Disable RPS
that sends packets to other CPUs (`/sys/class/net/DEV/queues/rx-N/rps_cpus`). Use as many queues as serving threads
(`ethtool -L`). For a server with fewer threads than queues RPS can direct all packets to its CPU. `netprobe locality`
shows the matrix.

## Source

Documentation/networking/scaling.rst (RSS, RPS, XPS); `sk_incoming_cpu_update()` in net/ipv4/tcp_ipv4.c.
"""

from __future__ import annotations

from collections import Counter

from netprobe.analysis.locality import UNPINNED_CLIENTS
from netprobe.rules import (
    busy_poll_disabled,
    busy_poll_mixed_napi,
    busy_poll_softirq_first,
    epoll_zero_timeout,
    hot_frame,
    listener_thread_unpinned,
    reactor_preempted,
    reuseport_order,
    reuseport_unsteered,
    timer_thread_switching,
)
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import labels, remote_cost, remote_evidence, remote_messages
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "locality-broken"
DOCUMENTATION = parse(__doc__)
_MIN_LOCAL_PCT = 90.0
_MIN_MESSAGES = 100
_SHOWN = 4


def evaluate(context: RunContext) -> Result:
    """Remote messages that no other finding explains."""
    local, total = context.matrix.local_pct, context.matrix.total
    if local is None or total < _MIN_MESSAGES:
        return Inconclusive(
            CODE, f"only {total} TCP messages were read: put the server under load, or record for longer"
        )
    if local >= _MIN_LOCAL_PCT:
        return Pass(CODE, f"{local:.1f} % of {total} messages were read on the CPU that received them")
    if cause := _cause(context):
        return Pass(CODE, f"{cause} explains it")
    if context.received_where_clients_run:
        return Inconclusive(CODE, UNPINNED_CLIENTS)
    if any(group.kind != "none" and group.size > 1 for group in context.groups):
        return _finding(context)
    from_this_host = _from_this_host(context)
    if from_this_host is None:
        return Inconclusive(
            CODE, "no connection was left when the recording stopped, so whether clients ran on this host is not known"
        )
    if from_this_host:
        return Pass(CODE, "connections come from this host, so the receiving CPU is that of the client")
    return _finding(context)


def _cause(context: RunContext) -> str:
    cause = context.cause(reuseport_order, reuseport_unsteered, listener_thread_unpinned)
    try:
        requested = context.polling.requested
    except MissingDataError:
        requested = False
    if cause or not requested:
        return cause
    # Packets that no thread polls arrive by softirq on the CPU of their interrupt.
    return context.cause(
        epoll_zero_timeout,
        busy_poll_disabled,
        busy_poll_mixed_napi,
        busy_poll_softirq_first,
        timer_thread_switching,
        reactor_preempted,
        hot_frame,
    )


def _from_this_host(context: RunContext) -> bool | None:
    """Whether most messages came over loopback. In a Run that did not count them: whether all connections did."""
    if context.matrix.same_host is not None:
        return context.matrix.from_this_host
    if not context.polling.connections:
        return None
    return not context.polling.connections_with_napi


def _finding(context: RunContext) -> Finding:
    remote, total = remote_messages(context)
    cost = remote_cost(context, remote)
    pairs = Counter({cell: count for cell, count in context.matrix.cells.items() if cell[0] not in (-1, cell[1])})
    cells = [
        Evidence(f"{count} messages were received on CPU {received} and read on CPU {read}", count, "messages")
        for (received, read), count in pairs.most_common(_SHOWN)
    ]
    named = labels((thread.pid, thread.tid, thread.thread) for thread in context.reactors)
    threads = [
        Evidence(f"{named[thread.pid, thread.tid]}: {_local_text(thread.matrix.local, thread.matrix.total)}")
        for thread in context.reactors[:_SHOWN]
    ]
    # The reasons are about groups, and a group of one listener has nothing to steer.
    has_groups = any(group.size > 1 for group in context.groups)
    reasons = context.locality_verdict.reasons if has_groups else ()
    return Finding(
        CODE,
        Severity.of(cost),
        f"{100 * remote / total:.1f} % of the messages are received on one CPU and read on another.",
        (*remote_evidence(remote, total), *cells, *threads, *map(Evidence, reasons)),
        DOCUMENTATION,
        cost_pct=cost,
    )


def _local_text(local: int, total: int) -> str:
    return f"{100 * local / total:.1f} % of {total} messages local" if total else "no message with a known CPU"
