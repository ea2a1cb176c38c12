"""Packets are steered to a listener by CPU, but its thread is not pinned to that CPU.

## Detection

Input: threads that serve a listener of a steered SO_REUSEPORT group (by CPU number, SO_INCOMING_CPU, or an eBPF
program). A finding is reported if the affinity of such a thread (`sched_getaffinity`) has more CPUs than those whose
packets are steered to the listener. If these CPUs are not known, as with eBPF, or the group has no steering, a thread
counts as unpinned if other threads of its group are pinned to one CPU.

The cost is an estimate: messages that these threads read on another CPU than the receiving CPU, 1 µs each, as a share
of the server's CPU time. It is small as long as the scheduler does not migrate the thread, which the next burst of load
can change.

## Why it matters

The scheduler may migrate the thread at any time; from then on each of its messages crosses CPUs.

The migration affects all connections of the thread at once, and takes time from the thread that is pinned to the other
CPU.

## Fix

Pin each thread to the CPU whose packets its listener receives, before it listens.

Call `pthread_setaffinity_np()` or `sched_setaffinity()`, or run `taskset -cp CPU TID`. nginx: `worker_cpu_affinity
auto`.

## Source

sched_setaffinity(2); SO_ATTACH_REUSEPORT_CBPF in socket(7); the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, Perfect Locality and Busy Polling: Take two.
"""

from __future__ import annotations

from netprobe.analysis.locality import Group, Member, ServedBy
from netprobe.rules.context import RunContext
from netprobe.rules.costs import labels, remote_cost, remote_evidence, remote_messages, thread_list
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "listener-thread-unpinned"
DOCUMENTATION = parse(__doc__)
_SHOWN = 8

Unpinned = tuple[Group, Member, ServedBy]


def evaluate(context: RunContext) -> Result:
    """Threads of steered groups that may run on CPUs whose packets their listener does not receive."""
    if context.imported:
        context.require("reuseport_members", "messages")
    unpinned = {
        (server.pid, server.tid): (group, member, server)
        for group in context.groups
        for member in group.members
        for server in member.servers
        if _is_unpinned(group, member, server)
    }
    return _finding(context, unpinned) if unpinned else Pass(CODE, "threads of steered groups are pinned")


def _is_unpinned(group: Group, member: Member, server: ServedBy) -> bool:
    if group.size < 2 or len(server.cpus_allowed) < 2:
        return False
    if member.steered_cpus is not None:
        return member.result == "not pinned" and not set(server.cpus_allowed) <= set(member.steered_cpus)
    return any(
        len(other.cpus_allowed) == 1
        for others in group.members
        for other in others.servers
        if (other.pid, other.tid) != (server.pid, server.tid)
    )


def _finding(context: RunContext, unpinned: dict[tuple[int, int], Unpinned]) -> Finding:
    group, member, server = next(iter(unpinned.values()))
    names = labels((thread.pid, thread.tid, thread.thread) for _, _, thread in unpinned.values()).values()
    remote, total = remote_messages(context, unpinned)
    cost = remote_cost(context, remote)
    evidence = [Evidence(_thread_text(*thread)) for thread in list(unpinned.values())[:_SHOWN]]
    to_cpu, cpu = (f" to CPU {member.steered_cpus[0]}", member.steered_cpus[0]) if member.steered_cpus else ("", "CPU")
    are, their = ("is", "its") if len(names) == 1 else ("are", "their")
    return Finding(
        CODE,
        Severity.of(cost),
        f"{thread_list(names)} of {group.name} {are} not pinned to the CPU whose packets {their} listener receives.",
        (*evidence, *remote_evidence(remote, total)),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=f"Here: pin {server.thread}{to_cpu} (taskset -cp {cpu} {server.tid}).",
    )


def _thread_text(group: Group, member: Member, server: ServedBy) -> str:
    allowed = ", ".join(map(str, server.cpus_allowed[:_SHOWN])) + (" …" if len(server.cpus_allowed) > _SHOWN else "")
    ran = ", ".join(f"{count} on CPU {cpu}" for cpu, count in server.ran_on.most_common(4)) or "none"
    index = "" if member.index is None else f" at index {member.index}"
    return (
        f"{server.thread}, thread {server.tid}{index} of {group.name}, may run on CPU {allowed}; messages read: {ran}"
    )
