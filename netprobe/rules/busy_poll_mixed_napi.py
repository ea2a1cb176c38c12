"""An epoll set has connections of several receive queues, but can busy-poll only one queue at a time.

## Detection

Input: the NAPI ids of the connections in each epoll set of a server for which busy polling is requested. A finding is
reported if a set has two or more NAPI ids, each with at least a tenth of its connections.

The cost is an estimate: 1 µs for each packet that arrives by softirq and 2.5 µs each time that a thread goes to sleep,
as a share of the server's CPU time.

## Why it matters

An epoll set polls the queue that had the last event; packets of its other queues wait for an interrupt and a softirq.

The set stores one NAPI id and overwrites it with each event, so a set with several queues alternates between them.
While it polls one queue, packets of the others wait for their deferred interrupt, and latency becomes uneven.

## Fix

Assign one receive queue to each thread: listeners steered by CPU (SO_ATTACH_REUSEPORT_CBPF), interrupts of each queue
on one CPU, and one thread pinned to that CPU.

Each thread then accepts only connections that its own queue received. With fewer threads than queues, reduce the number
of queues (`ethtool -L DEV combined N`), or accept in one thread and pass each connection to the thread of its
SO_INCOMING_NAPI_ID.

## Source

`ep_set_busy_poll_napi_id()` in fs/eventpoll.c; Documentation/networking/napi.rst, epoll-based busy polling.
"""

from __future__ import annotations

from netprobe.analysis.busypoll import ONE_NAPI_PER_SET, PollSet, poll_sets
from netprobe.rules import busy_poll_disabled, epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import unpolled_cost, unpolled_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "busy-poll-mixed-napi"
DOCUMENTATION = parse(__doc__)
_MIN_SHARE = 0.1
_SHOWN = 4


def evaluate(context: RunContext) -> Result:
    """Epoll sets with connections of two or more NAPI instances."""
    polling = context.polling
    if not polling.requested:
        return Pass(CODE, "busy polling is not requested")
    sets = [poll_set for poll_set in poll_sets(context.run.tables) if poll_set.kind == "epoll"]
    mixed = [poll_set for poll_set in sets if len(_main_ids(poll_set)) > 1]
    if not mixed:
        return Pass(CODE, polling.check(ONE_NAPI_PER_SET).evidence)
    if cause := context.cause(epoll_zero_timeout, busy_poll_disabled):
        return Pass(CODE, f"{cause} prevents busy polling")
    return _finding(context, mixed)


def _main_ids(poll_set: PollSet) -> list[tuple[int, int]]:
    """(NAPI id, connections) of the instances with a tenth of the set's connections or more."""
    found = [(number, count) for number, count in poll_set.napi_ids.most_common() if number > 0]
    total = sum(count for _, count in found)
    return [(number, count) for number, count in found if count >= _MIN_SHARE * total]


def _finding(context: RunContext, mixed: list[PollSet]) -> Finding:
    names = {napi.napi_id: napi.name for napi in context.polling.napis}
    cost = unpolled_cost(context)
    evidence = [Evidence(_set_text(poll_set, names)) for poll_set in mixed[:_SHOWN]]
    if context.polling.share_pct is not None:
        share = context.polling.share_pct
        evidence.append(Evidence(f"busy polling took {share:.1f} % of the packets", share, "%"))
    sets = "1 epoll set has" if len(mixed) == 1 else f"{len(mixed)} epoll sets have"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{sets} connections of several receive queues, and each set can busy-poll only one queue at a time.",
        (*evidence, *unpolled_evidence(context)),
        DOCUMENTATION,
        cost_pct=cost,
    )


def _set_text(poll_set: PollSet, names: dict[int, str]) -> str:
    ids = _main_ids(poll_set)
    parts = ", ".join(f"{count} of {names.get(number, f'NAPI {number}')}" for number, count in ids[:_SHOWN])
    return f"descriptor {poll_set.fd} of process {poll_set.pid} has connections of {len(ids)} instances: {parts}"
