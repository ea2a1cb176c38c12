"""Cost constants and helpers for the estimated cost of a finding, as a share of the server's CPU time.

Counts are measured in each Run. The cost of a single event is taken from measurements and publications on current x86
servers, so the result is an estimate; `netprobe diff` on Runs before and after the fix measures the effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.finding import Evidence

# A message whose packet another CPU processed: an inter-processor interrupt to wake the thread, and cache misses on
# the socket and the data.
REMOTE_MESSAGE_NS = 1000
# A switch out and in again, including the refilled caches.
SWITCH_NS = 2500
# An empty system call with CPU vulnerability mitigations.
SYSCALL_NS = 200
# A packet that arrives by interrupt and softirq instead of a busy poll.
INTERRUPT_NS = 1000
# A packet in a transmit queue of another CPU: lock contention and cache misses on the ring.
FOREIGN_QUEUE_NS = 300
# The VFS layer between read() and the socket.
VFS_LAYER_NS = 60

MIN_SAMPLES = 50
"""Shares of the server's time are computed from at least this number of samples."""


def remote_messages(context: RunContext, threads: Collection[tuple[int, int]] | None = None) -> tuple[int, int]:
    """Messages read on another CPU than the receiving one, and all messages, of these (pid, tid) or of all threads."""
    remote, total = 0, 0
    for thread in context.thread_matrices:
        if threads is None or (thread.pid, thread.tid) in threads:
            remote += thread.matrix.total - thread.matrix.local
            total += thread.matrix.total
    return remote, total


def remote_evidence(remote: int, total: int) -> list[Evidence]:
    """The share of remote messages; empty if no message was read."""
    if not total:
        return []
    share = 100 * remote / total
    return [Evidence(f"{share:.1f} % of {total} messages were read on a CPU other than the receiving CPU", share, "%")]


def remote_cost(context: RunContext, remote: int) -> float:
    """Estimated cost of remote messages in percent of the server's CPU time."""
    return min(100.0, context.share_of_cpu(remote * REMOTE_MESSAGE_NS))


def require_samples(context: RunContext) -> None:
    """Raise `MissingDataError` if there are too few samples to compute shares."""
    samples = context.frames.samples
    if samples < MIN_SAMPLES:
        raise MissingDataError(
            f"needs {MIN_SAMPLES} samples of the running server and has {samples}: put the server under load, record "
            "for longer (-d) or sample more often (-F)"
        )


def has_enough_samples(context: RunContext) -> bool:
    """Whether there are enough samples to compute shares."""
    try:
        require_samples(context)
    except MissingDataError:
        return False
    return True


def require_kernel_frames(context: RunContext) -> None:
    """Raise `MissingDataError` if an imported profile does not distinguish kernel functions from user functions."""
    if context.imported and not context.frames.has_kernel:
        raise MissingDataError(
            "needs stacks that mark kernel functions, and the imported stacks do not (perf.data and perf script text "
            "do; folded stacks do with _[k] after the names)"
        )


def unknown_cost_evidence(context: RunContext) -> list[Evidence]:
    """A note that the cost is not known, if the imported reports do not contain the CPU time of the server."""
    if context.imported and not context.cpu_seconds:
        return [Evidence("cost not known: the CPU time of the server was not imported")]
    return []


def thread_list(names: Collection[str]) -> str:
    """`reactor-0 and reactor-1`; the first three if there are more than four."""
    ordered = sorted(names)
    if len(ordered) > 4:
        return f"{', '.join(ordered[:3])} and {len(ordered) - 3} others"
    return " and ".join(filter(None, (", ".join(ordered[:-1]), *ordered[-1:])))


def labels(threads: Iterable[tuple[int, int, str]]) -> dict[tuple[int, int], str]:
    """(pid, tid) -> name of the thread; a name that repeats is followed by the PID, or by the number of the thread."""
    rows = set(threads)
    same_name: dict[str, list[tuple[int, int]]] = {}
    for pid, tid, name in sorted(rows):
        same_name.setdefault(name, []).append((pid, tid))
    found = {}
    for name, numbers in same_name.items():
        by_pid = len({pid for pid, _ in numbers}) == len(numbers)
        for pid, tid in numbers:
            number = f" (PID {pid})" if by_pid else f" (thread {tid})"
            found[pid, tid] = f"{name}{number if len(numbers) > 1 else ''}"
    return found


def sleep_count(context: RunContext, to_idle: bool = False) -> int:
    """Voluntary switches of the serving threads; `to_idle`: only those after which the CPU was idle."""
    tids = {(thread.pid, thread.tid) for thread in context.reactors}
    return sum(row.to_idle if to_idle else row.voluntary for row in context.switches_by_thread if row.tids & tids)


def sleeps_evidence(context: RunContext) -> Evidence:
    """The rate at which the serving threads sleep."""
    per_second = sleep_count(context) / context.seconds
    return Evidence(f"the threads went to sleep {per_second:.0f} times per second", per_second, "1/s")


def _softirq_packets(context: RunContext) -> int:
    return sum(napi.by_softirq + napi.by_thread for napi in context.polling.napis)


def unpolled_cost(context: RunContext) -> float:
    """Estimated cost of softirq packets and sleeping threads, which busy polling avoids, in percent of CPU time."""
    sleeping_ns = sleep_count(context) * SWITCH_NS
    return min(100.0, context.share_of_cpu(_softirq_packets(context) * INTERRUPT_NS + sleeping_ns))


def unpolled_evidence(context: RunContext) -> list[Evidence]:
    """The counts that `unpolled_cost` is computed from."""
    packets = _softirq_packets(context)
    received = f"the softirq processed {packets / context.seconds:.0f} packets per second of the server's queues"
    return [Evidence(received, packets), sleeps_evidence(context)]
