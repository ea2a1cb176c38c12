"""Packets are sent to a transmit queue of another CPU.

## Detection

Input: packets of the serving threads by sending CPU and transmit queue, on devices with several transmit queues. Each
CPU is assigned the queue to which it sends most packets, and each queue an equal number of CPUs; the remaining packets
were sent to a queue of another CPU. A finding is reported from 5 % of the packets and 100 packets per second on.

The cost is an estimate: 0.3 µs for each such packet, as a share of the server's CPU time.

## Why it matters

CPUs that share a queue wait for its lock, and the ring and the completions are in the cache of another CPU.

A queue has a lock and a ring of descriptors; ring, sent buffers and completion interrupt belong to a CPU that did not
send the packet.

## Fix

Assign each CPU a transmit queue of its own with transmit packet steering (XPS).

Write the bit of CPU *i* to the mask of queue *i*: `echo MASK > /sys/class/net/DEV/queues/tx-N/xps_cpus`, so that each
CPU sends to the queue whose interrupt it handles. Drivers that select queues themselves (some veth, most bonds) also
follow XPS once it is set.

## Source

Documentation/networking/scaling.rst, XPS: Transmit Packet Steering; `netdev_pick_tx()` in net/core/dev.c.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping

from netprobe.analysis.locality import TxMatrix, parse_cpu_list
from netprobe.rules.context import RunContext
from netprobe.rules.costs import FOREIGN_QUEUE_NS
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "tx-queue-elsewhere"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_PER_SECOND = 5.0, 100
_SHOWN = 6


def evaluate(context: RunContext) -> Result:
    """The device with most packets in queues of other CPUs."""
    sent = context.tx
    cpus = parse_cpu_list(context.cpus_online)
    worst = max(sent, key=lambda tx: packets_elsewhere(tx, len(cpus)), default=None)
    if worst is None:
        return Pass(CODE, "no packet was sent by a device with several transmit queues")
    elsewhere, total = packets_elsewhere(worst, len(cpus)), worst.cells.total()
    if elsewhere < _MIN_PER_SECOND * context.seconds or 100 * elsewhere < _MIN_PCT * total:
        return Pass(CODE, f"{elsewhere} of {total} packets were sent to another CPU's queue of {worst.device}")
    return _finding(context, worst, elsewhere, cpus)


def packets_elsewhere(tx: TxMatrix, cpus: int) -> int:
    """Packets to a queue of another CPU, if each CPU has one queue and each queue its share of the CPUs."""
    room = Counter({queue: -(-cpus // tx.queues) for _, queue in tx.cells})
    queue_of: dict[int, int] = {}
    for (cpu, queue), _ in tx.cells.most_common():
        if cpu not in queue_of and room[queue]:
            queue_of[cpu] = queue
            room[queue] -= 1
    return sum(count for (cpu, queue), count in tx.cells.items() if queue_of.get(cpu) != queue)


def _finding(context: RunContext, tx: TxMatrix, elsewhere: int, cpus: list[int]) -> Finding:
    total = tx.cells.total()
    share = 100 * elsewhere / total
    cost = min(100.0, context.share_of_cpu(elsewhere * FOREIGN_QUEUE_NS))
    return Finding(
        CODE,
        Severity.of(cost),
        f"{share:.0f} % of the packets that leave by {tx.device} go to a transmit queue of another CPU.",
        (
            Evidence(f"{elsewhere} of {total} packets, {elsewhere / context.seconds:.0f} per second", share, "%"),
            *(Evidence(_cpu_text(cpu, queues)) for cpu, queues in list(_queues_by_cpu(tx).items())[:_SHOWN]),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=_specific_fix(tx, cpus),
    )


def _queues_by_cpu(tx: TxMatrix) -> Mapping[int, Counter[int]]:
    found: dict[int, Counter[int]] = {}
    for (cpu, queue), count in sorted(tx.cells.items()):
        found.setdefault(cpu, Counter())[queue] += count
    return found


def _cpu_text(cpu: int, queues: Counter[int]) -> str:
    total = queues.total()
    parts = ", ".join(f"{100 * count / total:.0f} % to queue {queue}" for queue, count in queues.most_common(_SHOWN))
    return f"CPU {cpu} sent {total} packets: {parts}"


def _specific_fix(tx: TxMatrix, cpus: list[int]) -> str:
    commands = [
        f"echo {sum(1 << cpu for cpu in cpus[queue :: tx.queues]):x} > "
        f"/sys/class/net/{shlex.quote(tx.device)}/queues/tx-{queue}/xps_cpus"
        for queue in range(min(tx.queues, len(cpus)))
    ]
    more = " …" if len(commands) > 2 else ""
    return f"Here: {'; '.join(commands[:2])}{more}"
