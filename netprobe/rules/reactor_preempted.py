"""Other threads take the CPU from the serving threads.

## Detection

Input: the run delay of the serving threads, which read messages (or poll a device, see `poll-mode`): the time for which
they were runnable and waited for a CPU, as the kernel measures it. The run delay of a thread is divided among its next
tasks (the competitors) in proportion to the number of switches to each, and no competitor is attributed more than its
own CPU time. A finding is reported if a competitor takes at least 3 % of the time of a serving thread, and at least 20
times per second.

Without the table `thread_time` the lost time is estimated. If the Run has run-queue latency (`run_queue`), it is used
like the run delay. Else the estimate is the time in which the thread did not run (from clock samples; 50 % of the
recording if the samples count CPU cycles), times the share of its switches in which the competitor preempted it, but at
most 4 ms per preemption, or 0.1 ms for a kernel thread, which runs only briefly. Without samples, 2.5 µs per preemption
are assumed.

Not counted as competitors: threads that wake up only on a timer (`timer-thread-switching`); other serving threads if
some of them are not pinned (`listener-thread-unpinned`); netprobe; and clients on the same host, which are part of the
measured workload. If the clients are on the same host and the Run has no table `peers`, which lists their processes,
the result is inconclusive.

The cost is the lost time as a share of the recording, averaged over the serving threads. Serving threads that take the
CPU from each other share it by the server's own design: such a finding is a note.

## Why it matters

All connections of a serving thread wait until the scheduler returns its CPU.

With one event loop per core no other thread serves these connections in the meantime. A wait takes up to several
milliseconds and increases mainly the tail latency.

## Fix

Keep other threads off the CPUs of the serving threads.

Move the competitor with `taskset -cp`, `sched_setaffinity()` or a cpuset (`systemctl set-property UNIT AllowedCPUs=…`).
Reserve whole CPUs with `isolcpus=` and `nohz_full=`. Move interrupt threads, and the softirq work of ksoftirqd, with
`smp_affinity_list` of the interrupt; move kworkers of unbound workqueues with `/sys/devices/virtual/workqueue/cpumask`.
Where each CPU has one event loop, pin it; a pool of threads needs the CPUs, not a CPU of its own for each thread. A
higher priority of the serving thread (`nice -n -10`, or SCHED_FIFO with care) shortens the waits.

## Source

sched(7), sched_setaffinity(2), cpuset(7); Documentation/admin-guide/kernel-per-CPU-kthreads.rst.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from netprobe.analysis.switches import SwitchRow
from netprobe.rules import listener_thread_unpinned
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import SWITCH_NS, thread_list
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity
from netprobe.rules.timer_thread_switching import ticking_roles
from netprobe.run.profile import has_profile

CODE = "reactor-preempted"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_PER_SECOND = 3.0, 20
_SHOWN = 4
_SLICE_NS, _KERNEL_SLICE_NS = 4e6, 1e5
_KERNEL_THREAD = re.compile(
    r"(ksoftirqd|kworker|rcu_|rcu[bo]|migration|kcompactd|khugepaged|kswapd|kdamond|ksmd|irq/|watchdog/|kauditd|jbd2/|"
    r"idle_inject|cpuhp/|napi/|oom_reaper|swapper)"
).match
_NETPROBE = re.compile(r"netprobe").match


@dataclass(frozen=True)
class Loss:
    """The CPU time that a serving thread lost to one competitor."""

    thread: str
    tid: int
    cpus: tuple[int, ...]
    competitor: str
    switches: int
    pct: float


def evaluate(context: RunContext) -> Result:
    """The losses of the serving threads by competitor."""
    serving = {(thread.pid, thread.tid) for thread in context.reactors}
    serving |= {(poller.pid, poller.tid) for poller in context.pollers}
    rows = [row for row in context.switches_by_thread if row.tids & serving]
    if not rows:
        return Inconclusive(CODE, "no thread that reads messages was seen: put the server under load")
    ignored = _ignored(context, rows)
    losses = [loss for row in rows for loss in _losses(context, row, ignored)]
    worst = [loss for loss in losses if loss.pct >= _MIN_PCT and loss.switches >= _MIN_PER_SECOND * context.seconds]
    if not worst and (possible := _possible_loss(context, losses)):
        return Inconclusive(
            CODE,
            f"{possible.competitor} takes the CPU from {possible.thread} {possible.switches / context.seconds:.0f} "
            "times per second; the lost time is not in this Run: record with stacks (netprobe record)",
        )
    if not worst:
        return Pass(CODE, "no thread takes the CPUs of the serving threads for long" + _clients(context, rows))
    worst.sort(key=lambda loss: -loss.pct)
    own = {row.thread for row in context.switches_by_thread}
    if _may_be_clients(context) and not any(loss.competitor in own for loss in worst):
        return Inconclusive(
            CODE,
            f"{worst[0].competitor} takes the CPU from {worst[0].thread}, but the clients run on this host, and "
            f"this Run does not show whether {worst[0].competitor} is a client: record it again",
        )
    # What the serving threads take from each other is their own design, and is named only where nothing else is.
    serving_names = {row.thread for row in rows}
    others = [loss for loss in worst if loss.competitor not in serving_names]
    return _finding(context, others or worst, len(rows))


def _may_be_clients(context: RunContext) -> bool:
    """Whether clients ran on this host, but the Run does not list their processes."""
    return "peers" not in context.run.tables and context.matrix.from_this_host


def _possible_loss(context: RunContext, losses: list[Loss]) -> Loss | None:
    """In a Run without waiting times and stacks: a competitor that takes enough if each switch costs a time slice."""
    if "run_queue" in context.run.tables or has_profile(context.run.tables):
        return None
    for loss in losses:
        slice_ns = _KERNEL_SLICE_NS if _KERNEL_THREAD(loss.competitor) else _SLICE_NS
        per_second = loss.switches / context.seconds
        if per_second >= _MIN_PER_SECOND and per_second * slice_ns / 1e7 >= _MIN_PCT:
            return loss
    return None


def _ignored(context: RunContext, rows: list[SwitchRow]) -> set[str]:
    """Names of threads that are the subject of other findings."""
    roles = ticking_roles(context)
    ticking_tids = {tid for role in roles for tid in role.row.tids}
    names = {role.row.thread for role in roles}
    names |= {row.thread for row in context.switches_by_thread if row.tids & ticking_tids}
    if context.cause(listener_thread_unpinned):
        names |= {row.thread for row in rows}
    return names


def _losses(context: RunContext, row: SwitchRow, ignored: set[str]) -> list[Loss]:
    shares = _shares(context, row)
    ((_, tid),) = row.tids
    cpus = tuple(sorted(row.by_cpu, key=lambda cpu: -row.by_cpu[cpu])[:_SHOWN])
    return [
        Loss(row.thread, tid, cpus, name, switches, pct)
        for name, (switches, pct) in shares.items()
        if not (name in ignored or _NETPROBE(name) or name in context.client_threads)
    ]


def _shares(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """Next task -> number of switches to it, and the time that it took in percent of the recording."""
    if "thread_time" in context.run.tables:
        return _run_delay(context, row)
    return _waited(context, row) if "run_queue" in context.run.tables else _estimated(context, row)


def _run_delay(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """The measured run delay by next task, at most the CPU time of the task."""
    runnable_ns = sum(budget.runnable_ns for budget in context.thread_budgets if budget.tids & row.tids)
    next_tasks = row.preempted_by + row.followed_by
    cpu_ns = context.cpu_ns_by_thread
    found = {}
    for name, count in next_tasks.items():
        lost_ns = runnable_ns * count / next_tasks.total()
        if name in cpu_ns:
            lost_ns = min(lost_ns, cpu_ns[name])
        found[name] = count, lost_ns / 1e7 / context.seconds
    return found


def _waited(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """Time on the run queue by next task: number of switches, and time in percent of the recording."""
    next_tasks = row.preempted_by + row.followed_by
    pct = row.total_wait_ns / 1e7 / context.seconds
    return {name: (count, pct * count / next_tasks.total()) for name, count in next_tasks.items()}


def _estimated(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """Involuntary switches by competitor, and the estimated time in percent of the recording."""
    off_pct = _off_cpu_pct(context, row)
    found = {}
    for name, forced in (+row.preempted_by).items():
        pct = forced * SWITCH_NS / 1e7 / context.seconds
        if off_pct is not None:
            slice_ns = _KERNEL_SLICE_NS if _KERNEL_THREAD(name) else _SLICE_NS
            pct = min(off_pct * forced / row.switches, forced * slice_ns / 1e7 / context.seconds)
        found[name] = forced, pct
    return found


def _off_cpu_pct(context: RunContext, row: SwitchRow) -> float | None:
    """Percent of the recording in which the thread did not run; None without any samples."""
    try:
        profile = context.profile
    except MissingDataError:
        return None
    if profile.info.unit != "ns":
        return 50.0  # samples by cycles do not measure time
    chosen = [number for number, thread in enumerate(profile.threads) if (thread.pid, thread.tid) in row.tids]
    samples = profile.samples
    running_ns = float(np.bincount(samples.thread, samples.weight, len(profile.threads))[chosen].sum())
    return 100 - min(100.0, running_ns / 1e7 / context.seconds)


def _clients(context: RunContext, rows: list[SwitchRow]) -> str:
    names = {name for row in rows for name, count in row.preempted_by.items() if count} & context.client_threads
    return f"; the client {thread_list(names)} runs on them as well" if names else ""


def _finding(context: RunContext, worst: list[Loss], threads: int) -> Finding:
    cost = min(100.0, sum(loss.pct for loss in worst) / threads)
    competitors: Counter[str] = Counter()
    for loss in worst:
        competitors[loss.competitor] += loss.switches
    names = [name for name, _ in competitors.most_common(_SHOWN)]
    victims = {loss.thread for loss in worst}
    among_themselves = all(loss.competitor in victims for loss in worst)
    return Finding(
        CODE,
        Severity.NOTE if among_themselves else Severity.of(cost),
        f"{', '.join(names)} {'takes' if len(names) == 1 else 'take'} the CPU from {thread_list(victims)}, for about "
        f"{worst[0].pct:.0f} % of the time of {worst[0].thread}.",
        tuple(_evidence(context, loss) for loss in worst[: 2 * _SHOWN]),
        DOCUMENTATION,
        cost_pct=cost,
        of="thread time",
        specific_fix=_specific_fix(context, worst[0], victims),
        replaces_fix=_is_own(context, worst[0]),
    )


def _evidence(context: RunContext, loss: Loss) -> Evidence:
    per_second = loss.switches / context.seconds
    cpus = ", ".join(map(str, loss.cpus))
    return Evidence(
        f"{loss.competitor} takes CPU {cpus} from {loss.thread} (thread {loss.tid}) {per_second:.0f} times per second, "
        f"about {loss.pct:.0f} % of its time",
        per_second,
        "1/s",
    )


def _is_own(context: RunContext, loss: Loss) -> bool:
    """Whether the competitor is a thread of the server itself."""
    return loss.competitor in {row.thread for row in context.switches_by_thread}


def _specific_fix(context: RunContext, loss: Loss, victims: set[str]) -> str:
    if loss.competitor in victims:
        return (
            f"The threads of {loss.thread} share the CPUs among themselves: start no more busy threads than there are "
            "CPUs, or give the server more CPUs."
        )
    if _is_own(context, loss):
        return (
            f"{loss.competitor} is a thread of the server itself: have fewer busy threads than CPUs, or move its work "
            "out of the server."
        )
    cpu = loss.cpus[0] if loss.cpus else "N"
    return f"Here: keep {loss.competitor} off CPU {cpu} (taskset -cp, AllowedCPUs=, or isolcpus={cpu})."
