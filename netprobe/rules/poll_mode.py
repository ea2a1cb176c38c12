"""The process receives packets directly from the device (kernel bypass) and polls for them all the time.

## Detection

A finding is reported for threads that are in user mode in at least nine of ten samples, make at most 20 system calls
and 20 voluntary switches per second, make no network calls and read no message from a kernel socket, in a process with
signs of a poll-mode framework in its files, functions or thread names: DPDK and frameworks built on it (Seastar's
native stack, F-Stack, VPP, SPDK), netmap, or ef_vi. Threads that only compute are not reported. A stripped program that
links the framework statically and has other thread names is not recognized.

If functions have symbols, their samples show the time spent on receiving: an upper limit of the time in empty polls.
The finding is a note without a cost. It states which findings do not apply: `reuseport-…`, `epoll-…`, `busy-poll-…` and
`locality-…` are about the network stack of the kernel, which the process does not use. `hot-frame` and
`reactor-preempted` apply.

## Why it matters

The CPUs of the process are always busy, with or without traffic, and the kernel does not see its packets.

SO_REUSEPORT, epoll and NAPI settings have no effect on packets from the bypassed devices, and neither kernel counters
nor tcpdump nor the probes of netprobe show them. Only the functions in which the threads spend their time are visible.

## Fix

No fix is needed: look at the functions that dominate (`netprobe flame`), and keep other tasks off the CPUs of the
pollers.

A typical dominating function is a driver's transmit function that writes to the device without write combining (53 % of
the time in the investigation cited below, 6 % with write combining). Isolate the CPUs with `isolcpus=`, `nohz_full=`
or a cpuset. For symbols of drivers install the dbgsym packages of the libraries, or do not strip them. Counters:
use those of the application (`dpdk-telemetry.py`, `show port stats`).

## Source

DPDK Programmer's Guide, Poll Mode Driver; the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, DPDK
Optimization and DPDK Caveats.
"""

from __future__ import annotations

from netprobe.analysis.pollers import Poller, kernel_connections, poll_shares
from netprobe.rules.context import RunContext
from netprobe.rules.costs import thread_list
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "poll-mode"
DOCUMENTATION = parse(__doc__)
_SHOWN = 4
_MIN_SYMBOLIZED_SHARE = 0.5


def evaluate(context: RunContext) -> Result:
    """Threads that poll a device from user space."""
    context.require("profile_info", "syscalls", "switches")
    pollers = context.pollers
    return _finding(context, pollers) if pollers else Pass(CODE, "no thread polls a device from user space")


def _finding(context: RunContext, pollers: list[Poller]) -> Finding:
    names = {poller.thread for poller in pollers}
    verb = "polls" if len(pollers) == 1 else "poll"
    return Finding(
        CODE,
        Severity.NOTE,
        f"{thread_list(names)} {verb} from user space (kernel bypass): reuseport, epoll and NAPI do not apply.",
        (
            *(_thread(context, poller) for poller in pollers[:_SHOWN]),
            *_sockets(context),
            _polls(context, pollers),
            _dominating(context),
        ),
        DOCUMENTATION,
    )


def _thread(context: RunContext, poller: Poller) -> Evidence:
    preempted = f", preempted {poller.involuntary / context.seconds:.0f} times per second" if poller.involuntary else ""
    return Evidence(
        f"{poller.thread} (thread {poller.tid}): {poller.user_pct:.0f} % of {poller.samples} samples in user mode, "
        f"{poller.calls} system calls, {poller.voluntary} waits{preempted}",
        poller.user_pct,
        "%",
    )


def _sockets(context: RunContext) -> list[Evidence]:
    count = kernel_connections(context.run.tables)
    if count is None:
        return []
    return [Evidence(f"the kernel has {count} TCP connection{'' if count == 1 else 's'} of the process", count)]


def _polls(context: RunContext, pollers: list[Poller]) -> Evidence:
    shares = poll_shares(context.profile, pollers)
    if shares.symbolized < _MIN_SYMBOLIZED_SHARE * shares.samples:
        return Evidence(
            f"share of empty polls not known: {shares.samples - shares.symbolized} of {shares.samples} samples are in "
            "functions without a symbol (stripped drivers)"
        )
    return Evidence(
        f"{shares.receiving_pct:.0f} % of the time is spent on receiving, {shares.working_pct:.0f} % on work and "
        f"{shares.sending_pct:.0f} % on sending: empty polls take {shares.receiving_pct:.0f} % at most",
        shares.receiving_pct,
        "%",
    )


def _dominating(context: RunContext) -> Evidence:
    (name, module), pct = context.frames.largest_self()
    return Evidence(f"the largest self time is in {name} ({module or 'no file'}), {pct:.0f} %", pct, "%")
