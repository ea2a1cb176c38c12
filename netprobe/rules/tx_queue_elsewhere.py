"""Packets leave by a transmit queue that belongs to another CPU.

## What it sees

On a device with several transmit queues: packets of the server's threads by sending CPU and queue. Each CPU is given
the queue that it sends most to, and each queue as many CPUs as there are for it; what remains was sent to a queue of
another CPU. It is a finding from 5 % of the packets, and from 100 packets a second on.

The cost is an estimate: 0.3 µs for each such packet, as a share of the server's CPU time.

## Why it matters

A queue has a lock and a ring of descriptors. CPUs that share a queue wait for each other, and the ring, the sent
buffers and the completion interrupt belong to a CPU that did not send.

## How to fix it

Transmit packet steering: `echo MASK > /sys/class/net/DEV/queues/tx-N/xps_cpus` with the bit of CPU *i* for queue *i*,
so that a CPU sends to the queue whose interrupt it serves. Drivers that choose queues by themselves (some veth, most
bonds) follow XPS as well once it is set.

## Source

Documentation/networking/scaling.rst, XPS: Transmit Packet Steering; `netdev_pick_tx()` in net/core/dev.c.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping

from netprobe.analysis.cpus import parse_cpu_list
from netprobe.analysis.locality import TxMatrix
from netprobe.rules.context import RunContext
from netprobe.rules.costs import FOREIGN_QUEUE_NS
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "tx-queue-elsewhere"
_LEAST_PCT, _LEAST_PER_SECOND = 5.0, 100
_SHOWN = 6


def evaluate(context: RunContext) -> Result:
    """The device with most packets in queues of other CPUs."""
    sent = context.tx
    cpus = parse_cpu_list(context.cpus_online)
    worst = max(sent, key=lambda one: elsewhere(one, len(cpus)), default=None)
    if worst is None:
        return Pass(CODE, "no device with several transmit queues was sent to")
    found, total = elsewhere(worst, len(cpus)), worst.cells.total()
    if found < _LEAST_PER_SECOND * context.seconds or 100 * found < _LEAST_PCT * total:
        return Pass(CODE, f"{found} of {total} packets went to another CPU's queue of {worst.device}")
    return _finding(context, worst, found, cpus)


def elsewhere(tx: TxMatrix, cpus: int) -> int:
    """Packets that remain when each CPU has its queue, and no queue more CPUs than its part."""
    room = Counter({queue: -(-cpus // tx.queues) for _, queue in tx.cells})
    owners: dict[int, int] = {}
    for (cpu, queue), _ in tx.cells.most_common():
        if cpu not in owners and room[queue]:
            owners[cpu] = queue
            room[queue] -= 1
    return sum(count for (cpu, queue), count in tx.cells.items() if owners.get(cpu) != queue)


def _finding(context: RunContext, tx: TxMatrix, found: int, cpus: list[int]) -> Finding:
    total = tx.cells.total()
    share = 100 * found / total
    cost = min(100.0, context.share_of_cpu(found * FOREIGN_QUEUE_NS))
    return Finding(
        CODE,
        Severity.of(cost),
        f"{share:.0f} % of the packets that leave by {tx.device} go to a transmit queue of another CPU.",
        (
            Evidence(f"{found} of {total} packets, {found / context.seconds:.0f} a second", share, "%"),
            *(Evidence(_cpu(cpu, cells)) for cpu, cells in list(_by_cpu(tx).items())[:_SHOWN]),
        ),
        "CPUs that share a queue wait for its lock, and the ring and completions are in another CPU's cache.",
        _fix(tx, cpus),
        "Documentation/networking/scaling.rst, XPS",
        cost,
    )


def _by_cpu(tx: TxMatrix) -> Mapping[int, Counter[int]]:
    found: dict[int, Counter[int]] = {}
    for (cpu, queue), count in sorted(tx.cells.items()):
        found.setdefault(cpu, Counter())[queue] += count
    return found


def _cpu(cpu: int, queues: Counter[int]) -> str:
    total = queues.total()
    parts = ", ".join(f"{100 * count / total:.0f} % to queue {queue}" for queue, count in queues.most_common(_SHOWN))
    return f"CPU {cpu} sent {total} packets: {parts}"


def _fix(tx: TxMatrix, cpus: list[int]) -> str:
    lines = [
        f"echo {sum(1 << cpu for cpu in cpus[queue :: tx.queues]):x} > "
        f"/sys/class/net/{shlex.quote(tx.device)}/queues/tx-{queue}/xps_cpus"
        for queue in range(min(tx.queues, len(cpus)))
    ]
    more = " …" if len(lines) > 2 else ""
    return f"Give each CPU a queue of its own (XPS): {'; '.join(lines[:2])}{more}"
