"""Packets are steered to a listener by CPU, but the thread that serves it may run elsewhere.

## What it sees

A thread that serves a listener of a steered SO_REUSEPORT group (by CPU number, SO_INCOMING_CPU, or an eBPF program)
and whose affinity (`sched_getaffinity`) has more CPUs than those whose packets come to the listener. Where it is not
known which CPUs those are, as with eBPF, and where the group has no steering at all, a thread counts as unpinned if
others of its group are pinned to one CPU.

The cost is an estimate: messages that these threads read on another CPU than the one that received them, 1 µs each,
as a share of the server's CPU time. It is small while the scheduler leaves the thread where it is: the next burst of
load moves it.

## Why it matters

Steering makes a promise about CPUs; a thread that moves breaks it, for all its connections at once and for as long as
it stays away. It also takes time from the thread whose CPU it moves to.

## How to fix it

`pthread_setaffinity_np()` (or `sched_setaffinity()`, `taskset -cp CPU TID`) with the one CPU whose packets its listener
gets, before it listens. nginx: `worker_cpu_affinity auto`.

## Source

sched_setaffinity(2); SO_ATTACH_REUSEPORT_CBPF in socket(7); the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, Perfect Locality and Busy Polling: Take two.
"""

from __future__ import annotations

from netprobe.analysis.locality import Group, Member, Server
from netprobe.rules.context import RunContext
from netprobe.rules.costs import of_threads, remote, remote_cost, remote_evidence
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "listener-thread-unpinned"
_SHOWN = 8


def evaluate(context: RunContext) -> Result:
    """Threads of steered groups that may leave the CPU whose packets they get."""
    if context.imported:
        context.need("reuseport_members", "messages")
    loose = {
        (server.pid, server.tid): (group, member, server)
        for group in context.groups
        for member in group.members
        for server in member.servers
        if _is_loose(group, member, server)
    }
    return _finding(context, loose) if loose else Pass(CODE, "threads of steered groups stay on their CPUs")


def _is_loose(group: Group, member: Member, server: Server) -> bool:
    if group.size < 2 or len(server.cpus_allowed) < 2:
        return False
    if member.steered_cpus is not None:
        return member.result == "not pinned" and not set(server.cpus_allowed) <= set(member.steered_cpus)
    others = (one for here in group.members for one in here.servers if (one.pid, one.tid) != (server.pid, server.tid))
    return any(len(one.cpus_allowed) == 1 for one in others)


def _finding(context: RunContext, loose: dict[tuple[int, int], tuple[Group, Member, Server]]) -> Finding:
    group, member, server = next(iter(loose.values()))
    names = {one.thread for _, _, one in loose.values()}
    found, total = remote(context, loose)
    cost = remote_cost(context, found)
    evidence = [Evidence(_words(*one)) for one in list(loose.values())[:_SHOWN]]
    where = f" to CPU {member.steered_cpus[0]}" if member.steered_cpus else " to the CPU whose packets it gets"
    verb = "is" if len(names) == 1 else "are"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{of_threads(names)} of {group.name} {verb} not pinned to the CPU whose packets {_its(names)} listener gets.",
        (*evidence, *remote_evidence(found, total)),
        "The scheduler may move the thread at any time; from then on each of its messages crosses CPUs.",
        f"Pin {server.thread}{where} before it listens: pthread_setaffinity_np(), or taskset -cp CPU {server.tid}.",
        "sched_setaffinity(2); socket(7)",
        cost,
    )


def _its(names: set[str]) -> str:
    return "its" if len(names) == 1 else "their"


def _words(group: Group, member: Member, server: Server) -> str:
    allowed = ", ".join(map(str, server.cpus_allowed[:_SHOWN])) + (" …" if len(server.cpus_allowed) > _SHOWN else "")
    ran = ", ".join(f"{count} on CPU {cpu}" for cpu, count in server.ran_on.most_common(4)) or "none"
    index = "" if member.index is None else f" at index {member.index}"
    return (
        f"{server.thread}, thread {server.tid}{index} of {group.name}, may run on CPU {allowed}; messages read: {ran}"
    )
