"""The listeners of a port are not in the order of the CPUs that serve them.

## Detection

Input: groups of SO_REUSEPORT listeners that are steered by CPU, with a classic BPF program that returns the CPU number
or with SO_INCOMING_CPU. For each index of a group the CPUs whose packets it receives are compared with the affinity of
its serving thread, which is known from the epoll sets and the accepting calls. A finding is reported if a thread is
pinned to another CPU than the one whose packets its listener receives. An imported listing does not contain the
steering: a program that returns the CPU number is assumed (listeners in the order of their CPUs), and the evidence
states the assumption; a listing with a missing listener is inconclusive.

The cost is an estimate: messages that these threads read on another CPU than the receiving CPU, 1 µs each, as a share
of the server's CPU time.

## Why it matters

Each message is received on one CPU and read on another: an inter-processor interrupt wakes the thread, and the socket
is in the cache of the wrong CPU.

The index of a listener is the position of its `listen()` call in the group, and nothing else. Threads that listen in
another order than that of their CPUs receive each other's packets, and no thread can busy-poll the queue on which its
packets arrive.

## Fix

Call `listen()` in the order of the CPUs to which the threads are pinned, or pin each thread to the CPU whose packets
its listener receives.

The thread that is pinned to CPU *i* makes call number *i* of `listen()` (TCP) or `bind()` (UDP): the threads one after
another, or one thread that creates all listeners in order. A program that maps CPUs to indexes helps if the CPUs are
not 0 … n-1. Set SO_INCOMING_CPU after pinning, to the CPU of the thread.

## Source

`reuseport_add_sock()` and `reuseport_select_sock()` in net/core/sock_reuseport.c; SO_ATTACH_REUSEPORT_CBPF and
SO_INCOMING_CPU in socket(7); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Perfect Locality
and Busy Polling: Take two.
"""

from __future__ import annotations

from netprobe.analysis.locality import Group, Member, is_complete, order
from netprobe.rules.context import RunContext
from netprobe.rules.costs import labels, remote_cost, remote_evidence, remote_messages, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "reuseport-order"
DOCUMENTATION = parse(__doc__)
_SHOWN, _SHOWN_GROUPS = 8, 3


def evaluate(context: RunContext) -> Result:
    """Members with a thread that is pinned to a CPU whose packets they do not receive."""
    wrong = [(group, member) for group in context.groups for member in group.members if member.result == "wrong"]
    if context.imported and (gap := _gap(context)):
        return Inconclusive(CODE, gap)
    if not wrong and context.imported and any(group.index_by_cpu is None for group in context.groups):
        return Inconclusive(CODE, "the listing does not name a different CPU for each listener")
    if not wrong:
        return Pass(CODE, "no thread is pinned to another CPU than the one whose packets its listener receives")
    return _finding(context, wrong)


def _gap(context: RunContext) -> str:
    """The part that an imported listing lacks: ranks of a part differ from those of the whole. "" if it is complete."""
    imported = context.run.info.imported
    reports = imported.reports if imported else []
    skipped = sum(report.skipped_lines for report in reports if report.kind == "listeners")
    if skipped:
        return f"the listing is not complete: {skipped} line{' was' if skipped == 1 else 's were'} skipped"
    for group in context.groups:
        indexes = [member.index or 0 for member in group.members]
        if not is_complete(indexes):
            named = ", ".join(map(str, indexes[:_SHOWN])) + (" …" if len(indexes) > _SHOWN else "")
            return f"the listing is not complete: it has the sockets {named} instead of 0 to n-1, each once"
    return ""


def _finding(context: RunContext, wrong: list[tuple[Group, Member]]) -> Finding:
    first = wrong[0][0]
    groups = [group for group in context.groups if any(group is of_wrong for of_wrong, _ in wrong)]
    threads = {(server.pid, server.tid) for _, member in wrong for server in member.servers}
    remote, total = (0, 0) if context.imported else remote_messages(context, threads)
    cost = remote_cost(context, remote)
    evidence = [Evidence(f"{group.name} {_member_text(member)}") for group, member in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        evidence.append(Evidence(f"and {len(wrong) - _SHOWN} more listeners"))
    if context.imported:
        evidence = [
            Evidence(f"in the order of their listen() calls, {order(first)}"),
            *evidence,
            Evidence(f"steering: {first.steering}"),
            *unknown_cost_evidence(context),
        ]
    expected = "that of SO_INCOMING_CPU" if first.kind == "incoming-cpu" else "the one whose packets they receive"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{len(wrong)} of {sum(group.size for group in groups)} listeners of {_names(groups)} are served on another "
        f"CPU than {expected}.",
        (*evidence, *remote_evidence(remote, total)),
        DOCUMENTATION,
        cost_pct=cost,
        specific_fix=" ".join(dict.fromkeys(map(_specific_fix, groups))),
    )


def _names(groups: list[Group]) -> str:
    names = ", ".join(group.name for group in groups[:_SHOWN_GROUPS])
    return names if len(groups) <= _SHOWN_GROUPS else f"{names} and {len(groups) - _SHOWN_GROUPS} more groups"


def _member_text(member: Member) -> str:
    index = "" if member.index is None else f"index {member.index} "
    return f"{index}receives {member.reason}".replace("; ", ", but ")


def _specific_fix(group: Group) -> str:
    named = labels((one.pid, one.tid, one.thread) for member in group.members for one in member.servers)
    pins = [
        f"{named[member.servers[0].pid, member.servers[0].tid]} to CPU {member.steered_cpus[0]}"
        for member in group.members
        if member.result == "wrong" and member.steered_cpus
    ]
    more = f" and {len(pins) - _SHOWN} more threads" if len(pins) > _SHOWN else ""
    pinned = f"Here: pin {', '.join(pins[:_SHOWN])}{more} (sched_setaffinity)"
    if group.kind == "incoming-cpu":
        return f"{pinned}, or set SO_INCOMING_CPU of each listener to the CPU of its thread."
    return f"{pinned}."
