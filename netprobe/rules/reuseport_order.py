"""The listeners of a port do not stand in the order of the CPUs that serve them.

## What it sees

A group of SO_REUSEPORT listeners whose steering goes by CPU: a classic BPF program that returns a CPU's number, or
SO_INCOMING_CPU. Of an imported listing, which does not tell the steering, a program that returns the CPU's number is
assumed (listeners in the order of their CPUs), and said to be; a listing with a listener missing says nothing. For each
index of the group it knows which CPUs' packets come there, and from the epoll sets and the accepting calls which thread
serves it and where that thread may run. It is a finding where a thread is pinned to another CPU than the one whose
packets it gets.

The cost is an estimate: messages that these threads read on another CPU than the one that received them, 1 µs each,
as a share of the server's CPU time.

## Why it matters

A listener's index is the number of its `listen()` call, and nothing else: threads that listen in another order than
that of their CPUs have each other's packets. Every message then wakes a thread by an interrupt between CPUs and moves
the socket from one cache to another, and a thread never polls the queue that its packets arrive on.

## How to fix it

Let the thread that is pinned to CPU *i* call `listen()` (TCP) or `bind()` (UDP) as number *i*: threads one after the
other, or one thread that makes all listeners in order. Or leave the order and pin thread *i* of it to CPU *i*. A
program that maps CPU to index serves where CPUs are not 0 … n-1. With SO_INCOMING_CPU set it after pinning, to the
CPU of the thread.

## Source

`reuseport_add_sock()` and `reuseport_select_sock()` in net/core/sock_reuseport.c; SO_ATTACH_REUSEPORT_CBPF and
SO_INCOMING_CPU in socket(7); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Perfect Locality
and Busy Polling: Take two.
"""

from __future__ import annotations

from netprobe.analysis.locality import Group, Member, is_complete, order
from netprobe.rules.context import RunContext
from netprobe.rules.costs import remote, remote_cost, remote_evidence, unknown_cost
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "reuseport-order"
_SHOWN, _GROUPS = 8, 3


def evaluate(context: RunContext) -> Result:
    """Members whose thread is pinned to a CPU whose packets do not come to them."""
    wrong = [(group, member) for group in context.groups for member in group.members if member.result == "wrong"]
    if context.imported and (gap := _gap(context)):
        return Inconclusive(CODE, gap)
    if not wrong and context.imported and any(group.index_by_cpu is None for group in context.groups):
        return Inconclusive(CODE, "the listing does not name another CPU for each listener")
    if not wrong:
        return Pass(CODE, "no thread is pinned to another CPU than the one whose packets it gets")
    return _finding(context, wrong)


def _gap(context: RunContext) -> str:
    """What an imported listing lacks, in words: ranks of a part are not those of the whole. "" if it lacks nothing."""
    imported = context.run.info.imported
    reports = imported.reports if imported else []
    left = sum(report.skipped_lines for report in reports if report.kind == "listeners")
    if left:
        return f"the listing is not whole: {left} line{' was' if left == 1 else 's were'} left"
    for group in context.groups:
        indexes = [member.index or 0 for member in group.members]
        if not is_complete(indexes):
            named = ", ".join(map(str, indexes[:_SHOWN])) + (" …" if len(indexes) > _SHOWN else "")
            return f"the listing is not whole: it names socket {named}, and a whole one each of 0 to n-1 once"
    return ""


def _finding(context: RunContext, wrong: list[tuple[Group, Member]]) -> Finding:
    group = wrong[0][0]
    groups = [one for one in context.groups if any(one is here for here, _ in wrong)]
    threads = {(server.pid, server.tid) for _, member in wrong for server in member.servers}
    found, total = (0, 0) if context.imported else remote(context, threads)
    cost = remote_cost(context, found)
    evidence = [Evidence(f"{here.name} {_member(member)}") for here, member in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        evidence.append(Evidence(f"and {len(wrong) - _SHOWN} more listeners, wrong as well"))
    if context.imported:
        evidence = [
            Evidence(f"in the order in which they listen, {order(group)}"),
            *evidence,
            Evidence(f"who gets a connection: {group.steering}"),
            *unknown_cost(context),
        ]
    how = "SO_INCOMING_CPU says" if group.kind == "incoming-cpu" else "the one whose packets they get"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{len(wrong)} of {sum(one.size for one in groups)} listeners of {_names(groups)} are served on another CPU "
        f"than {how}.",
        (*evidence, *remote_evidence(found, total)),
        "Each message is received on one CPU and read on another: an interrupt between CPUs to wake the thread, and "
        "the socket in the wrong cache.",
        " ".join(dict.fromkeys(map(_fix, groups))),
        "reuseport_select_sock() in net/core/sock_reuseport.c; socket(7)",
        cost,
    )


def _names(groups: list[Group]) -> str:
    names = ", ".join(one.name for one in groups[:_GROUPS])
    return names if len(groups) <= _GROUPS else f"{names} and {len(groups) - _GROUPS} more groups"


def _member(member: Member) -> str:
    index = "" if member.index is None else f"index {member.index} "
    return f"{index}gets {member.words}".replace("; ", ", but ")


def _fix(group: Group) -> str:
    pins = [
        f"{member.servers[0].thread} to CPU {member.steered_cpus[0]}"
        for member in group.members
        if member.result == "wrong" and member.steered_cpus
    ]
    more = f" and {len(pins) - _SHOWN} more alike" if len(pins) > _SHOWN else ""
    pinned = f"pin {', '.join(pins[:_SHOWN])}{more} (sched_setaffinity)"
    if group.kind == "incoming-cpu":
        return f"Either {pinned}, or set SO_INCOMING_CPU of each listener to the CPU of its thread."
    return f"Either call listen() in the order of the CPUs that the threads are pinned to, or {pinned}."
