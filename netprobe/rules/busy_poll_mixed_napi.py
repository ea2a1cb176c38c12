"""An epoll set holds connections of several receive queues, but can poll only one of them at a time.

## What it sees

The NAPI ids of the connections in each epoll set of a server that is set up for busy polling. It is a finding where a
set has two or more, each with at least a tenth of its connections: a set's busy poll takes the instance that had the
last event, so the others' packets come by softirq.

The cost is an estimate: 1 µs for each packet that comes by softirq and 2.5 µs for each time that a thread goes to
sleep, as a share of the server's CPU time.

## Why it matters

One NAPI id per epoll set, and the last event's wins: a set that mixes queues flaps between them. While it polls one
queue, packets of the others wait for their deferred interrupt, and latency becomes uneven.

## How to fix it

One queue per thread: steer the listeners by CPU (SO_ATTACH_REUSEPORT_CBPF), bring receive queue *i* to CPU *i*, and pin
thread *i* there, so that each thread accepts only what its own queue received. With fewer threads than queues reduce
the queues (`ethtool -L DEV combined N`), or accept in one thread and hand each connection to the thread of its
SO_INCOMING_NAPI_ID.

## Source

`ep_set_busy_poll_napi_id()` in fs/eventpoll.c; Documentation/networking/napi.rst, epoll-based busy polling.
"""

from __future__ import annotations

from netprobe.analysis.busypoll import PollSet, poll_sets
from netprobe.rules import busy_poll_disabled, epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import unpolled, unpolled_evidence
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "busy-poll-mixed-napi"
_LEAST_SHARE = 0.1
_SHOWN = 4


def evaluate(context: RunContext) -> Result:
    """Sets of a server that is to poll, with connections of two instances."""
    polling = context.polling
    if not (polling.asked_by_server or polling.asked_by_machine):
        return Pass(CODE, "nothing asks for busy polling")
    mixed = [here for here in poll_sets(context.run.tables) if here.kind == "epoll" and len(_main_ids(here)) > 1]
    if not mixed:
        return Pass(CODE, polling.link("each epoll set").evidence)
    if cause := context.cause(epoll_zero_timeout, busy_poll_disabled):
        return Pass(CODE, f"with {cause} no set polls at all")
    return _finding(context, mixed)


def _main_ids(here: PollSet) -> list[tuple[int, int]]:
    found = [(number, count) for number, count in here.napi_ids.most_common() if number > 0]
    total = sum(count for _, count in found)
    return [(number, count) for number, count in found if count >= _LEAST_SHARE * total]


def _finding(context: RunContext, mixed: list[PollSet]) -> Finding:
    names = {napi.napi_id: napi.name for napi in context.polling.napis}
    cost = unpolled(context)
    evidence = [Evidence(_set(here, names)) for here in mixed[:_SHOWN]]
    if context.polling.share_pct is not None:
        share = context.polling.share_pct
        evidence.append(Evidence(f"busy polling took {share:.1f} % of the packets", share, "%"))
    return Finding(
        CODE,
        Severity.of(cost),
        f"{len(mixed)} epoll set{'' if len(mixed) == 1 else 's'} of the server "
        f"{'mixes' if len(mixed) == 1 else 'mix'} connections of several receive queues, and can poll one at a time.",
        (*evidence, *unpolled_evidence(context)),
        "A set polls the queue that had the last event; packets of the others wait for interrupt and softirq.",
        "One queue per thread: listeners steered by CPU, queue i's packets to CPU i, thread i pinned there; with fewer "
        "threads than queues, ethtool -L DEV combined N.",
        "ep_set_busy_poll_napi_id() in fs/eventpoll.c; Documentation/networking/napi.rst",
        cost,
    )


def _set(here: PollSet, names: dict[int, str]) -> str:
    parts = ", ".join(f"{count} of {names.get(number, f'NAPI {number}')}" for number, count in _main_ids(here)[:_SHOWN])
    return f"descriptor {here.fd} of process {here.pid} has connections of {len(_main_ids(here))} instances: {parts}"
