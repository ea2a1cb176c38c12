"""What things cost, for estimates of a finding's share of the server's CPU time.

The counts are the Run's own; these are what one of each costs on a current x86 server, measured or published. They
are estimates: what decides in the end is a Run before and a Run after (`netprobe diff`).
"""

from __future__ import annotations

from collections.abc import Collection

from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.finding import Evidence

# A message whose packet another CPU processed: the wake-up goes by an interrupt between CPUs, and socket and data
# come from the other CPU's cache.
REMOTE_MESSAGE_NS = 1000
# Out of a CPU and into it again, with what is then no longer in its caches.
SWITCH_NS = 2500
# A system call that does nothing, with mitigations.
SYSCALL_NS = 200
# A packet that comes by interrupt and softirq instead of by a poll.
INTERRUPT_NS = 1000
# A packet into another CPU's TX queue: its lock, and its ring in another CPU's cache.
FOREIGN_QUEUE_NS = 300
# read() of a socket: the layer of files between the call and the socket.
FILE_LAYER_NS = 60

FEWEST_SAMPLES = 50
"""Samples from which on shares of the server's time are told."""

THE_ARTICLE = "the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”"


def remote(context: RunContext, threads: Collection[tuple[int, int]] | None = None) -> tuple[int, int]:
    """Messages read on another CPU than the one that received them, and all; of these (pid, tid), or of all."""
    found, total = 0, 0
    for here in context.thread_matrices:
        if threads is None or (here.pid, here.tid) in threads:
            found += here.matrix.total - here.matrix.local
            total += here.matrix.total
    return found, total


def remote_evidence(found: int, total: int) -> list[Evidence]:
    """How many messages were remote; nothing where no message was read."""
    if not total:
        return []
    share = 100 * found / total
    return [Evidence(f"{share:.1f} % of {total} messages were read on another CPU than received them", share, "%")]


def remote_cost(context: RunContext, found: int) -> float:
    """What remote messages take of the server's CPU time, in percent."""
    return min(100.0, context.share_of_cpu(found * REMOTE_MESSAGE_NS))


def enough_samples(context: RunContext) -> None:
    """Raise `MissingDataError` where there are too few samples to tell shares."""
    samples = context.frames.samples
    if samples < FEWEST_SAMPLES:
        raise MissingDataError(
            f"needs {FEWEST_SAMPLES} samples of the running server and has {samples}: put it under load, record for "
            "longer (-d) or sample more often (-F)"
        )


def with_samples(context: RunContext) -> bool:
    """Whether there are samples enough to tell shares."""
    try:
        enough_samples(context)
    except MissingDataError:
        return False
    return True


def unknown_cost(context: RunContext) -> list[Evidence]:
    """That the cost is not known, where what was imported does not say how much CPU time the server took."""
    if context.imported and not context.cpu_seconds:
        return [Evidence("what it costs cannot be told: how much CPU time the server took was not imported")]
    return []


def need_kernel_frames(context: RunContext) -> None:
    """Raise `MissingDataError` where an imported profile does not tell the kernel's functions from the program's."""
    if context.imported and not context.frames.has_kernel:
        raise MissingDataError(
            "needs to know which functions are the kernel's, which the imported stacks do not say (perf.data and "
            "perf script text do; folded stacks with _[k] after the names)"
        )


def of_threads(names: Collection[str]) -> str:
    """`reactor-0 and reactor-1`; the first few of many."""
    ordered = sorted(names)
    if len(ordered) > 4:
        return f"{', '.join(ordered[:3])} and {len(ordered) - 3} others"
    return " and ".join(filter(None, (", ".join(ordered[:-1]), *ordered[-1:])))


def sleeps(context: RunContext, to_idle: bool = False) -> int:
    """Times that the threads which read messages went to sleep; `to_idle`: and nobody else wanted the CPU."""
    tids = {(here.pid, here.tid) for here in context.reactors}
    return sum(row.to_idle if to_idle else row.voluntary for row in context.switches_by_thread if row.tids & tids)


def unpolled(context: RunContext) -> float:
    """What packets by softirq and sleeping threads cost, that a poller would save; percent of the CPU time."""
    packets = sum(napi.by_softirq + napi.by_thread for napi in context.polling.napis)
    return min(100.0, context.share_of_cpu(packets * INTERRUPT_NS + sleeps(context) * SWITCH_NS))


def unpolled_evidence(context: RunContext) -> list[Evidence]:
    """The counts behind `unpolled`."""
    packets = sum(napi.by_softirq + napi.by_thread for napi in context.polling.napis)
    slept = sleeps(context)
    return [
        Evidence(
            f"the softirq took {packets / context.seconds:.0f} packets a second from the server's queues", packets
        ),
        Evidence(
            f"the threads went to sleep {slept / context.seconds:.0f} times a second", slept / context.seconds, "1/s"
        ),
    ]
