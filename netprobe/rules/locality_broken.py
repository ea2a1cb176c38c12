"""Messages are read on another CPU than the one that received them, and the listeners do not explain it.

## What it sees

Fewer than 90 % of at least 100 messages were read on the CPU that processed their packets. It is told only where no
other finding is its cause: listeners in the wrong order, not steered or not pinned; busy polling that was asked for
and that does not run or is held up (it would bring the packets to the reading thread's CPU). Connections from the same
host come over loopback and are received on the client's CPU, wherever that is: there it is a finding only for a server
that steers its connections.

The cost is an estimate: remote messages, 1 µs each, as a share of the server's CPU time.

## Why it matters

A packet's interrupt, its protocol work and the thread that reads it share a socket and its data. On one CPU they find
them in its cache; on two, each message pays for an interrupt between CPUs and for the lines that move.

## How to fix it

Bring the three to one CPU: receive queue *i*'s interrupt to CPU *i* (`/proc/irq/N/smp_affinity_list`, and stop
irqbalance), no RPS that sends packets away again (`/sys/class/net/DEV/queues/rx-N/rps_cpus`), as many queues as there
are serving threads (`ethtool -L`), each thread pinned, and listeners steered by CPU. For a server with fewer threads
than queues RPS can bring all packets to its CPU. `netprobe locality` shows the matrix.

## Source

Documentation/networking/scaling.rst (RSS, RPS, XPS); `sk_incoming_cpu_update()` in net/ipv4/tcp_ipv4.c.
"""

from __future__ import annotations

from collections import Counter

from netprobe.analysis.locality import verdict
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
from netprobe.rules.costs import remote, remote_cost, remote_evidence
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "locality-broken"
_LEAST_PCT = 90.0
_FEWEST_MESSAGES = 100
_SHOWN = 4


def evaluate(context: RunContext) -> Result:
    """Remote messages that nothing else explains."""
    local, total = context.matrix.local_pct, context.matrix.total
    if local is None or total < _FEWEST_MESSAGES:
        return Inconclusive(
            CODE, f"only {total} TCP messages were read: put the server under load, or record for longer"
        )
    if local >= _LEAST_PCT:
        return Pass(CODE, f"{local:.1f} % of {total} messages were read on the CPU that received them")
    if cause := _cause(context):
        return Pass(CODE, f"{cause} explains it")
    if _steers(context):
        return _finding(context)
    here = _from_this_host(context)
    if here is None:
        return Inconclusive(CODE, "no connection was left at the end, so whether they came from this host is not known")
    if here:
        return Pass(CODE, "connections come from this host: the client's CPU is the one that receives")
    return _finding(context)


def _cause(context: RunContext) -> str:
    cause = context.cause(reuseport_order, reuseport_unsteered, listener_thread_unpinned)
    try:
        asked = context.polling.asked_by_server or context.polling.asked_by_machine
    except MissingDataError:
        asked = False
    if cause or not asked:
        return cause
    # Packets that a busy poller does not take come by softirq, on whichever CPU.
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
    """Whether most messages came over loopback; of a Run that does not count them, whether all connections did."""
    if context.matrix.same_host is not None:
        return context.matrix.from_this_host
    if not context.polling.connections:
        return None
    return not context.polling.connections_with_napi


def _steers(context: RunContext) -> bool:
    return any(group.kind != "none" and group.size > 1 for group in context.groups)


def _finding(context: RunContext) -> Finding:
    found, total = remote(context)
    cost = remote_cost(context, found)
    pairs = Counter({cell: count for cell, count in context.matrix.cells.items() if cell[0] not in (-1, cell[1])})
    cells = [
        Evidence(f"{count} messages were received on CPU {received} and read on CPU {read}", count, "messages")
        for (received, read), count in pairs.most_common(_SHOWN)
    ]
    said = verdict(context.groups, context.matrix).reasons if context.groups else ()
    threads = [
        Evidence(f"{here.thread}: {_local(here.matrix.local, here.matrix.total)}") for here in context.reactors[:4]
    ]
    return Finding(
        CODE,
        Severity.of(cost),
        f"{100 * found / total:.1f} % of the messages are received on one CPU and read on another.",
        (*remote_evidence(found, total), *cells, *threads, *(Evidence(reason) for reason in said if _tells(context))),
        "Each such message wakes its thread by an interrupt between CPUs and finds socket and data in another CPU's "
        "cache.",
        "Bring packets and threads together: queue i's interrupt (smp_affinity_list) or RPS (rps_cpus) to the CPU of "
        "the thread that reads, threads pinned, listeners steered by CPU (SO_ATTACH_REUSEPORT_CBPF).",
        "Documentation/networking/scaling.rst",
        cost,
    )


def _tells(context: RunContext) -> bool:
    """Words on groups help where a group is more than one listener."""
    return any(group.size > 1 for group in context.groups)


def _local(local: int, total: int) -> str:
    return f"{100 * local / total:.1f} % of {total} messages local" if total else "no message with a known CPU"
