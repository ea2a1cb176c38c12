"""Threads that poll a network device from user space, past the kernel: DPDK, and what is built on it.

Such a thread never waits: it is in user mode whenever it has a CPU, and makes no system calls. So does a thread that
computes; what tells them apart is code or a name of a poll-mode framework.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flamegraph.frames import Kind
from netprobe.analysis.frames import is_kernel
from netprobe.run.table import Table, thread_rows

if TYPE_CHECKING:
    from flamegraph.frames import Frame
    from flamegraph.profile import Profile

_FEWEST_SAMPLES = 20
_LEAST_USER, _LEAST_OF_TIME = 0.9, 0.1
_MOST_A_SECOND = 20
# Libraries and programs by file; functions by name, of statically linked ones; threads by name.
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


@dataclass(frozen=True)
class Polling:
    """What the stacks of the pollers say of their polls; percent of their samples that have a name."""

    named: int
    samples: int
    receiving_pct: float
    """In functions that ask for packets, and in the loop around them: what empty polls take at most."""
    sending_pct: float
    working_pct: float
    """In anything else: work on packets that were there."""


@dataclass(frozen=True)
class Poller:
    """A thread that polls in user space."""

    pid: int
    tid: int
    thread: str
    samples: int
    user_pct: float
    """Of its samples, in user mode."""
    voluntary: int
    involuntary: int
    calls: int
    """System calls of any kind."""


def pollers(tables: Mapping[str, Table], profile: Profile, seconds: float) -> list[Poller]:
    """Threads that poll, most samples first; none where nothing of a poll-mode framework is to be seen."""
    if not seconds or not _has_framework(tables, profile):
        return []
    calls, network = _calls(tables)
    voluntary, involuntary = _switches(tables)
    total, user = _samples(profile)
    ours, readers = sum(total.values()), _readers(tables)
    found = []
    for (pid, tid, thread), samples in total.items():
        key = pid, tid
        if samples < _FEWEST_SAMPLES or samples < _LEAST_OF_TIME * ours:
            continue
        if user[pid, tid, thread] < _LEAST_USER * samples or network[key] or key in readers:
            continue
        if max(calls[key], voluntary[key]) > _MOST_A_SECOND * seconds:
            continue
        pct = 100 * user[pid, tid, thread] / samples
        found.append(Poller(pid, tid, thread, samples, pct, voluntary[key], involuntary[key], calls[key]))
    return sorted(found, key=lambda one: -one.samples)


def connections(tables: Mapping[str, Table]) -> int | None:
    """Established TCP connections that the kernel has for the target; None where that was not looked at."""
    if "polling_connections" not in tables:
        return None
    return sum(int(count) for (count,) in tables["polling_connections"].rows("connections"))


def polling(profile: Profile, threads: list[Poller]) -> Polling:
    """How the pollers' samples divide, by names of functions."""
    chosen = {(one.pid, one.tid) for one in threads}
    stacks = [(_named(frames), count) for who, frames, count in _stacks(profile) if who[:2] in chosen]
    loops = {name for names, _ in stacks for name in _callers_of_receives(names)}
    parts: Counter[str] = Counter()
    for names, count in stacks:
        parts[_part(names, loops)] += count
    named = parts.total() - parts["unnamed"]

    def share(part: str) -> float:
        return 100 * parts[part] / named if named else 0.0

    return Polling(named, parts.total(), share("receive"), share("send"), share("work"))


def _named(frames: list[Frame]) -> list[str]:
    """The program's own functions, root first; empty where the innermost has no name."""
    own = [frame for frame in frames if not is_kernel(frame)]
    if not own or own[-1].kind is Kind.UNKNOWN:
        return []
    return [frame.name for frame in own]


def _callers_of_receives(names: list[str]) -> list[str]:
    place = next((n for n, name in enumerate(names) if _RECEIVES(name)), 0)
    return names[:place]


def _part(names: list[str], loops: set[str]) -> str:
    """What a stack is at: the innermost function whose name says it. The loop around the polls asks as well."""
    if not names:
        return "unnamed"
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
    made: Counter[tuple[int, int]] = Counter()
    network: Counter[tuple[int, int]] = Counter()
    for pid, tid, _, _, name, count in thread_rows(tables, "syscalls", "syscall", "calls"):
        made[pid, tid] += count
        if name in _NETWORK_CALLS:
            network[pid, tid] += count
    return made, network


def _switches(tables: Mapping[str, Table]) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    voluntary: Counter[tuple[int, int]] = Counter()
    involuntary: Counter[tuple[int, int]] = Counter()
    for pid, tid, _, _, gave, lost in thread_rows(tables, "switches", "voluntary", "involuntary"):
        voluntary[pid, tid] += gave
        involuntary[pid, tid] += lost
    return voluntary, involuntary


def _readers(tables: Mapping[str, Table]) -> set[tuple[int, int]]:
    rows = thread_rows(tables, "messages", "messages")
    return {(pid, tid) for pid, tid, _, _, count in rows if count}


def _samples(profile: Profile) -> tuple[Counter[tuple[int, int, str]], Counter[tuple[int, int, str]]]:
    """Samples by thread, and those in user mode or where the kernel only came between."""
    total: Counter[tuple[int, int, str]] = Counter()
    user: Counter[tuple[int, int, str]] = Counter()
    for thread, frames, count in _stacks(profile):
        total[thread] += count
        if not any(is_kernel(frame) and not _INTERRUPT(frame.name) for frame in frames):
            user[thread] += count
    return total, user


# An interrupt that is booked on its way back, or a switch that was forced: not the thread's own doing.
_INTERRUPT = re.compile(
    r"(irqentry_.*|exit_to_user_mode.*|asm_.*|sysvec_.*|__?schedule.*|finish_task_switch.*|handle_softirqs|__do_softirq|"
    r"(__)?irq_exit.*|common_interrupt.*|ret_from_.*|prepare_exit_to_user.*|error_entry|schedule|__schedule)"
).match


def _stacks(profile: Profile) -> Iterator[tuple[tuple[int, int, str], list[Frame], int]]:
    """(thread, frames, samples) of every pair that was seen."""
    counts: defaultdict[tuple[int, int], int] = defaultdict(int)
    samples = profile.samples
    rows = zip(samples.thread.tolist(), samples.stack.tolist(), samples.count.tolist(), strict=True)
    for thread, stack, count in rows:
        counts[thread, stack] += count
    for (thread, stack), count in counts.items():
        who = profile.threads[thread]
        yield (who.pid, who.tid, who.comm), [profile.frames[one] for one in profile.stacks[stack].tolist()], count
