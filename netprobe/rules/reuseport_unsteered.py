"""Several listeners share a port, and connections are not steered to the CPU on which their packets arrive.

## Detection

A finding is reported for a group of SO_REUSEPORT listeners that different threads serve, without a steering program and
without SO_INCOMING_CPU, unless at least 99 % of the messages are read on the receiving CPU all the same.

With clients on this host that are not pinned the result is inconclusive: the receiving CPU is then the one on which the
scheduler runs the client, and steering by CPU moves connections to other threads without a gain.

The cost is an estimate: messages that the threads of the group read on another CPU than the receiving CPU, 1 µs each,
as a share of the server's CPU time.

## Why it matters

Without steering most connections are assigned to a thread on another CPU than the one on which their packets arrive,
and each of their messages crosses CPUs.

The kernel selects a listener by a hash of addresses and ports. With n threads on n CPUs, one in n connections comes to
the thread on the CPU of its packets. The others are woken across CPUs for their whole lifetime.

## Fix

Attach a program that returns the CPU number to the group (setsockopt SO_ATTACH_REUSEPORT_CBPF), and serve listener i by
a thread that is pinned to CPU i.

Attach the program once, to any socket of the group, before connections arrive:

    struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_CPU},
                                 {BPF_RET | BPF_A, 0, 0, 0}};
    struct sock_fprog program = {2, code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);

## Source

`reuseport_select_sock()` in net/core/sock_reuseport.c; SO_ATTACH_REUSEPORT_CBPF in socket(7); the investigation
“Linux Kernel vs DPDK: HTTP Performance Showdown”, Perfect Locality and Busy Polling.
"""

from __future__ import annotations

from netprobe.analysis.locality import PERFECT_PCT, UNPINNED_CLIENTS, Group, parse_cpu_list
from netprobe.rules.context import RunContext
from netprobe.rules.costs import labels, remote_cost, remote_evidence, remote_messages, thread_list
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "reuseport-unsteered"
DOCUMENTATION = parse(__doc__)


def evaluate(context: RunContext) -> Result:
    """Groups without steering whose threads read messages of other CPUs; the most costly is reported."""
    if context.imported and context.groups:
        return Inconclusive(CODE, "the steering of the group was not imported")
    context.require("reuseport_groups")
    if len(parse_cpu_list(context.cpus_online)) < 2:
        return Pass(CODE, "the machine has one CPU")
    found = [finding for group in context.groups if (finding := _finding(context, group))]
    if not found:
        return Pass(CODE, "every group is steered, or its messages are read on the receiving CPU")
    if context.received_where_clients_run:
        return Inconclusive(CODE, UNPINNED_CLIENTS)
    return max(found, key=lambda finding: finding.cost_pct)


def _finding(context: RunContext, group: Group) -> Finding | None:
    threads = labels((server.pid, server.tid, server.thread) for member in group.members for server in member.servers)
    cpus = {cpu for member in group.members for server in member.servers for cpu in server.cpus_allowed}
    # Steering cannot separate threads that share one CPU.
    if group.kind != "none" or group.size < 2 or len(threads) < 2 or len(cpus) == 1:
        return None
    remote, total = remote_messages(context, threads)
    if total and 100 * (1 - remote / total) >= PERFECT_PCT:
        return None
    cost = remote_cost(context, remote)
    return Finding(
        CODE,
        Severity.of(cost),
        f"{group.name} has {group.size} listeners and no steering, so each thread receives packets of any CPU.",
        (
            Evidence(f"{len(threads)} threads serve it: {thread_list(threads.values())}", len(threads), "threads"),
            Evidence(f"steering: {group.steering}"),
            *remote_evidence(remote, total),
        ),
        DOCUMENTATION,
        cost_pct=cost,
    )
