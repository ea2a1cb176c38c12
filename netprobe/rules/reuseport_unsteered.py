"""Several listeners share a port, and nothing brings a connection to the CPU that its packets arrive on.

## What it sees

A group of SO_REUSEPORT listeners that different threads serve, without a steering program and without
SO_INCOMING_CPU. If the messages are read on the CPU that received them all the same (from 99 % on), it is clear.

The cost is an estimate: messages that the group's threads read on another CPU than the one that received them, 1 µs
each, as a share of the server's CPU time.

## Why it matters

Without steering the kernel selects a listener by a hash of addresses and ports. Of n threads on n CPUs, one in n
connections comes to the thread on whose CPU its packets arrive; all others are woken across CPUs, for as long as they
last.

## How to fix it

Attach the program that returns the CPU's number, once, to any socket of the group, before connections come:

    struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_CPU},
                                 {BPF_RET | BPF_A, 0, 0, 0}};
    struct sock_fprog program = {2, code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);

and let listener *i* be served by a thread that is pinned to CPU *i*.

## Source

`reuseport_select_sock()` in net/core/sock_reuseport.c; SO_ATTACH_REUSEPORT_CBPF in socket(7); the investigation
“Linux Kernel vs DPDK: HTTP Performance Showdown”, Perfect Locality and Busy Polling.
"""

from __future__ import annotations

from netprobe.analysis.cpus import parse_cpu_list
from netprobe.analysis.locality import PERFECT_PCT, Group
from netprobe.rules.context import RunContext
from netprobe.rules.costs import of_threads, remote, remote_cost, remote_evidence
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "reuseport-unsteered"


def evaluate(context: RunContext) -> Result:
    """Groups without steering whose threads read other CPUs' messages."""
    if context.imported and context.groups:
        return Inconclusive(CODE, "how the group is steered is not in what was imported")
    context.need("reuseport_groups")
    if len(parse_cpu_list(context.cpus_online)) < 2:
        return Pass(CODE, "the machine has one CPU")
    found = [finding for group in context.groups if (finding := _finding(context, group))]
    return (
        max(found, key=lambda one: one.cost_pct) if found else Pass(CODE, "every group is steered, or local as it is")
    )


def _finding(context: RunContext, group: Group) -> Finding | None:
    threads = {(server.pid, server.tid): server.thread for member in group.members for server in member.servers}
    cpus = {cpu for member in group.members for server in member.servers for cpu in server.cpus_allowed}
    # Threads that share one CPU have no packets of their own to be given.
    if group.kind != "none" or group.size < 2 or len(threads) < 2 or len(cpus) == 1:
        return None
    found, total = remote(context, threads)
    if total and 100 * (1 - found / total) >= PERFECT_PCT:
        return None
    cost = remote_cost(context, found)
    return Finding(
        CODE,
        Severity.of(cost),
        f"{group.name} has {group.size} listeners and no steering, so any thread gets any CPU's packets.",
        (
            Evidence(f"{len(threads)} threads serve it: {of_threads(threads.values())}", len(threads), "threads"),
            Evidence(f"who gets a connection: {group.steering}"),
            *remote_evidence(found, total),
        ),
        "A connection is woken, and its socket moved, across CPUs for as long as it lasts, unless it happened to come "
        "to the right thread.",
        "Attach the program that returns the CPU's number to the group (setsockopt SO_ATTACH_REUSEPORT_CBPF: ld cpu; "
        "ret a), and let listener i be served by a thread pinned to CPU i.",
        "reuseport_select_sock() in net/core/sock_reuseport.c; socket(7)",
        cost,
    )
