"""Threads that poll a network device from user space with kernel bypass: DPDK and the frameworks built on it.

Such a thread never waits: it runs in user mode all the time and makes no system calls. The same holds for a thread that
computes; functions, files or thread names of a poll-mode framework distinguish the two.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flamegraph.frames import Kind
from netprobe.analysis.frame_shares import is_kernel
from netprobe.run.table import Table, thread_rows

if TYPE_CHECKING:
    from flamegraph.frames import Frame
    from flamegraph.profile import Profile

ThreadKey = tuple[int, int, str]  # pid, tid, name

_MIN_SAMPLES = 20
_MIN_USER_SHARE, _MIN_SHARE_OF_SAMPLES = 0.9, 0.1
_MAX_PER_SECOND = 20
# Libraries and programs by file name, functions of statically linked frameworks, and threads by name.
_FILES = re.compile(r"(lib(rte_|dpdk|spdk|onload|efvi|vppinfra|vnet|fstack)|dpdk-|vpp$|f-stack|seastar)", re.IGNORECASE)
_FUNCTIONS = re.compile(
    r"(rte_[a-z]|eth_[a-z0-9]+_(recv|xmit|rx|tx)|[a-z0-9]+_(recv|xmit)_pkts|pkt_burst_|eal_thread_loop|dpdk|spdk_|netmap_|"
    r"nm_(dispatch|inject|nextpkt)|ef_vi_|vlib_|xsk_ring)"
)
_THREADS = re.compile(r"(rte-worker|lcore-(worker|slave)|rte_mp_|vpp_(main|wk)|dpdk|pmd-c\d)").match
_NETWORK_CALLS = frozenset({
    "accept", "accept4", "connect", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "io_uring_enter",
})  # fmt: skip
_RECEIVES = re.compile(r"(rx_burst|recv_pkts|_rx_|rx_poll|_rx$|dequeue|receive|recv)", re.IGNORECASE).search
_SENDS = re.compile(r"(tx_burst|xmit|_tx_|tx_buffer|_tx$|enqueue|send)", re.IGNORECASE).search
# Kernel functions at the end of an interrupt or of an involuntary switch: samples there are not system calls.
_INTERRUPT = re.compile(
    r"(irqentry_.*|exit_to_user_mode.*|asm_.*|sysvec_.*|__?schedule.*|finish_task_switch.*|handle_softirqs|__do_softirq|"
    r"(__)?irq_exit.*|common_interrupt.*|ret_from_.*|prepare_exit_to_user.*|error_entry|schedule|__schedule)"
).match


@dataclass(frozen=True)
class PollShares:
    """Samples of pollers by activity, in percent of the samples with a symbol."""

    symbolized: int
    samples: int
    receiving_pct: float
    """Functions that receive packets and the loop around them: the upper limit of the time in empty polls."""
    sending_pct: float
    working_pct: float
    """All other functions: work on received packets."""


@dataclass(frozen=True)
class Poller:
    """A thread that polls a device from user space."""

    pid: int
    tid: int
    thread: str
    samples: int
    user_pct: float
    """Share of its samples in user mode."""
    voluntary: int
    involuntary: int
    calls: int
    """System calls of all kinds."""


def pollers(tables: Mapping[str, Table], profile: Profile, seconds: float) -> list[Poller]:
    """Threads that poll, by descending number of samples; empty without signs of a poll-mode framework."""
    if not seconds or not _has_framework(tables, profile):
        return []
    calls, network = _calls(tables)
    voluntary, involuntary = _switches(tables)
    total, user = _samples(profile)
    all_samples, readers = sum(total.values()), _readers(tables)
    found = []
    for (pid, tid, thread), samples in total.items():
        key = pid, tid
        if samples < _MIN_SAMPLES or samples < _MIN_SHARE_OF_SAMPLES * all_samples:
            continue
        if user[pid, tid, thread] < _MIN_USER_SHARE * samples or network[key] or key in readers:
            continue
        if max(calls[key], voluntary[key]) > _MAX_PER_SECOND * seconds:
            continue
        pct = 100 * user[pid, tid, thread] / samples
        found.append(Poller(pid, tid, thread, samples, pct, voluntary[key], involuntary[key], calls[key]))
    return sorted(found, key=lambda poller: -poller.samples)


def kernel_connections(tables: Mapping[str, Table]) -> int | None:
    """Established TCP connections of the target in the kernel; None if they were not recorded."""
    if "polling_connections" not in tables:
        return None
    return sum(int(count) for (count,) in tables["polling_connections"].rows("connections"))


def poll_shares(profile: Profile, threads: list[Poller]) -> PollShares:
    """Samples of the pollers by activity, from the names of functions."""
    chosen = {(poller.pid, poller.tid) for poller in threads}
    stacks = [(_user_names(frames), count) for key, frames, count in _stacks(profile) if key[:2] in chosen]
    loops = {name for names, _ in stacks for name in _callers_of_receives(names)}
    samples: Counter[str] = Counter()
    for names, count in stacks:
        samples[_activity(names, loops)] += count
    symbolized = samples.total() - samples["unsymbolized"]

    def share(activity: str) -> float:
        return 100 * samples[activity] / symbolized if symbolized else 0.0

    return PollShares(symbolized, samples.total(), share("receive"), share("send"), share("work"))


def _user_names(frames: list[Frame]) -> list[str]:
    """Names of the user functions, root first; empty if the innermost has no symbol."""
    user = [frame for frame in frames if not is_kernel(frame)]
    if not user or user[-1].kind is Kind.UNKNOWN:
        return []
    return [frame.name for frame in user]


def _callers_of_receives(names: list[str]) -> list[str]:
    place = next((n for n, name in enumerate(names) if _RECEIVES(name)), 0)
    return names[:place]


def _activity(names: list[str], loops: set[str]) -> str:
    """The activity of a stack: that of the innermost function with a telling name. The poll loop itself receives."""
    if not names:
        return "unsymbolized"
    for name in reversed(names):
        if _SENDS(name):
            return "send"
        if _RECEIVES(name):
            return "receive"
    return "receive" if names[-1] in loops else "work"


def _has_framework(tables: Mapping[str, Table], profile: Profile) -> bool:
    if any(_FILES.search(frame.module.rpartition("/")[2]) or _FUNCTIONS.match(frame.name) for frame in profile.frames):
        return True
    names = {thread.comm for thread in profile.threads}
    if "threads" in tables and "thread" in tables["threads"].columns:
        names |= {name for (name,) in tables["threads"].rows("thread")}
    return any(_THREADS(name) for name in names)


def _calls(tables: Mapping[str, Table]) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """All system calls and network system calls by thread."""
    calls: Counter[tuple[int, int]] = Counter()
    network: Counter[tuple[int, int]] = Counter()
    for pid, tid, _, _, name, count in thread_rows(tables, "syscalls", "syscall", "calls"):
        calls[pid, tid] += count
        if name in _NETWORK_CALLS:
            network[pid, tid] += count
    return calls, network


def _switches(tables: Mapping[str, Table]) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """Voluntary and involuntary switches by thread."""
    voluntary: Counter[tuple[int, int]] = Counter()
    involuntary: Counter[tuple[int, int]] = Counter()
    for pid, tid, _, _, voluntary_count, involuntary_count in thread_rows(
        tables, "switches", "voluntary", "involuntary"
    ):
        voluntary[pid, tid] += voluntary_count
        involuntary[pid, tid] += involuntary_count
    return voluntary, involuntary


def _readers(tables: Mapping[str, Table]) -> set[tuple[int, int]]:
    rows = thread_rows(tables, "messages", "messages")
    return {(pid, tid) for pid, tid, _, _, count in rows if count}


def _samples(profile: Profile) -> tuple[Counter[ThreadKey], Counter[ThreadKey]]:
    """Samples by thread: all, and those in user mode, including kernel frames of an interrupt only."""
    total: Counter[ThreadKey] = Counter()
    user: Counter[ThreadKey] = Counter()
    for thread, frames, count in _stacks(profile):
        total[thread] += count
        if not any(is_kernel(frame) and not _INTERRUPT(frame.name) for frame in frames):
            user[thread] += count
    return total, user


def _stacks(profile: Profile) -> Iterator[tuple[ThreadKey, list[Frame], int]]:
    """(thread, frames, samples) of each sampled thread and stack."""
    counts: defaultdict[tuple[int, int], int] = defaultdict(int)
    samples = profile.samples
    rows = zip(samples.thread.tolist(), samples.stack.tolist(), samples.count.tolist(), strict=True)
    for thread, stack, count in rows:
        counts[thread, stack] += count
    for (thread, stack), count in counts.items():
        sampled = profile.threads[thread]
        frames = [profile.frames[frame] for frame in profile.stacks[stack].tolist()]
        yield (sampled.pid, sampled.tid, sampled.comm), frames, count
