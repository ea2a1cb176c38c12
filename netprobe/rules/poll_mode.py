"""The process takes its packets from the device by itself, past the kernel, and polls for them all the time.

## What it sees

Threads that are in user mode in at least nine of ten of their samples, make next to no system calls (20 a second at
most) and no network ones, read no message from a kernel's socket and never give up the CPU, in a process in which code,
functions or threads of a poll-mode framework are to be seen: DPDK and what is built on it (Seastar's native stack,
F-Stack, VPP, SPDK), netmap, ef_vi. A thread that only computes is not meant. A stripped program into which the
framework is linked statically, and whose threads have other names, is not recognised.

Where functions have names, their samples tell how much of the time goes to asking for packets: what empty polls take at
most. The rule is a note and has no cost: it says which other findings are not to be expected. `reuseport-…`, `epoll-…`,
`busy-poll-…` and `locality-…` are about the kernel's network stack, which this process does not use. `hot-frame` and
`reactor-preempted` apply as ever.

## Why it matters

CPU usage says nothing here: it is always 100 %, with traffic and without. SO_REUSEPORT, epoll and NAPI settings have no
effect on what the process receives from its devices, nor does the kernel see its packets: not in its counters, not with
tcpdump, not in netprobe's probes. What remains to be seen from outside is where the time goes.

## How to fix it

Nothing is wrong. Look at the functions: one that dominates is worth a look, such as a driver's transmit function that
writes to a device without write combining (53 % of the time in the investigation; 6 % after it was enabled). Keep
everything else off the pollers' CPUs (`isolcpus=`, `nohz_full=`, a cpuset). Symbols of drivers: install the dbgsym
packages of its libraries, or do not strip. Counters: the application's own (`dpdk-telemetry.py`, `show port stats`).

## Source

Poll Mode Driver in the DPDK Programmer's Guide; the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”,
DPDK Optimization and DPDK Caveats.
"""

from __future__ import annotations

from netprobe.analysis.pollers import Poller, connections, polling
from netprobe.rules.context import RunContext
from netprobe.rules.costs import of_threads
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "poll-mode"
_SHOWN = 4
_LEAST_NAMED = 0.5


def evaluate(context: RunContext) -> Result:
    """Threads that poll from user space."""
    context.need("profile_info", "syscalls", "switches")
    found = context.pollers
    return _finding(context, found) if found else Pass(CODE, "no thread polls a device from user space")


def _finding(context: RunContext, found: list[Poller]) -> Finding:
    names = {one.thread for one in found}
    verb = "polls" if len(found) == 1 else "poll"
    return Finding(
        CODE,
        Severity.NOTE,
        f"{of_threads(names)} {verb} from user space, past the kernel: reuseport, epoll and NAPI do not apply.",
        (
            *(_thread(context, one) for one in found[:_SHOWN]),
            *_sockets(context),
            _polls(context, found),
            _dominating(context),
        ),
        "Its CPUs are always busy, with traffic and without, and the kernel sees none of its packets.",
        "Nothing to fix: look at the functions that dominate (netprobe flame), and keep others off its CPUs.",
        "DPDK Programmer's Guide, Poll Mode Driver",
    )


def _thread(context: RunContext, one: Poller) -> Evidence:
    lost = f", lost its CPU {one.involuntary / context.seconds:.0f} times a second" if one.involuntary else ""
    return Evidence(
        f"{one.thread} (thread {one.tid}): {one.user_pct:.0f} % of {one.samples} samples in user mode, {one.calls} "
        f"system calls, {one.voluntary} waits{lost}",
        one.user_pct,
        "%",
    )


def _sockets(context: RunContext) -> list[Evidence]:
    count = connections(context.run.tables)
    if count is None:
        return []
    return [Evidence(f"the kernel has {count} TCP connection{'' if count == 1 else 's'} of the process", count)]


def _polls(context: RunContext, found: list[Poller]) -> Evidence:
    seen = polling(context.profile, found)
    if seen.named < _LEAST_NAMED * seen.samples:
        return Evidence(
            f"how many polls are empty cannot be told: {seen.samples - seen.named} of {seen.samples} samples are in "
            "functions without a name (stripped drivers)"
        )
    return Evidence(
        f"{seen.receiving_pct:.0f} % of the time goes to asking for packets, {seen.working_pct:.0f} % to work on them "
        f"and {seen.sending_pct:.0f} % to sending: empty polls take {seen.receiving_pct:.0f} % at most",
        seen.receiving_pct,
        "%",
    )


def _dominating(context: RunContext) -> Evidence:
    (name, module), pct = context.frames.most_own()
    return Evidence(f"most of its time is in {name} ({module or 'no file'}), {pct:.0f} %", pct, "%")
