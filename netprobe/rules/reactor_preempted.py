"""Other threads take the CPU from the threads that serve.

## What it sees

Involuntary context switches of the threads that read messages (or poll a device, see `poll-mode`), and who ran next.
The time that was lost is an estimate: the time in which the thread did not run (from samples by a clock), times the
share of its switches that this competitor forced, but at most 4 ms each time, and 0.1 ms for a thread of the kernel
(its slices are short); without samples 2.5 µs a switch. It is a finding where a competitor takes at least 3 % of the
time of a serving thread, and at least 20 times a second.

A competitor with precedence over a thread that sleeps forces no switches: the thread wakes up and waits. Only
run-queue latency sees that. Where the Run has it (`run_queue`), the time that the thread was runnable and waited is
what was lost, shared among those who ran after it by how often they did.

Not counted as competitors: threads that tick (`timer-thread-switching`); other serving threads while some are not
pinned (`listener-thread-unpinned`); netprobe. A load generator on the same host (wrk, ab, h2load, iperf3 …) is part of
the measurement and not a fault of the server: it is no finding, but say to yourself that what you measure is both.

The cost is that lost time as a share of the recording, mean of the serving threads.

## Why it matters

A thread per core with an event loop has no second thread that would serve meanwhile: all its connections wait until the
scheduler gives the CPU back, up to some milliseconds each time. It shows in the tail of the latency first.

## How to fix it

Keep others off the CPUs of serving threads: `taskset -cp`/`sched_setaffinity()` or a cpuset for the competitor
(`systemctl set-property UNIT AllowedCPUs=…`), `isolcpus=`/`nohz_full=` for whole CPUs; the interrupts' threads and
ksoftirqd follow `smp_affinity_list`; kworkers `/sys/devices/virtual/workqueue/cpumask`. Two serving threads on one CPU:
pin each to its own. A higher priority (`nice -n -10`, SCHED_FIFO with care) shortens the waits.

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
from netprobe.rules.costs import SWITCH_NS, of_threads
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity
from netprobe.rules.timer_thread_switching import ticking
from netprobe.run.profile import has_profile

CODE = "reactor-preempted"
_LEAST_PCT, _LEAST_PER_SECOND = 3.0, 20
_SHOWN = 4
_SLICE_NS, _KERNEL_SLICE_NS = 4e6, 1e5
_KERNEL_THREAD = re.compile(
    r"(ksoftirqd|kworker|rcu_|rcu[bo]|migration|kcompactd|khugepaged|kswapd|kdamond|ksmd|irq/|watchdog/|kauditd|jbd2/|"
    r"idle_inject|cpuhp/|napi/|oom_reaper|swapper)"
).match
_NETPROBE = re.compile(r"netprobe").match
_LOAD_GENERATOR = re.compile(
    r"(t?wrk2?|ab|h2load|hey|oha|bombardier|vegeta|k6|siege|httperf|autocannon|fortio|locust|ghz|drill|loadtest|"
    r"redis-benchmark|memtier_benchma|memtier_benchmark|mc-crusher|iperf3?|netperf|sockperf|uperf|qperf|rewrk|plow|slow_cooker)$"
).match


@dataclass(frozen=True)
class Loss:
    """What one thread lost to one competitor."""

    thread: str
    tid: int
    cpus: tuple[int, ...]
    competitor: str
    forced: int
    pct: float


def evaluate(context: RunContext) -> Result:
    """The serving threads' losses, by competitor."""
    serving = {(here.pid, here.tid) for here in context.reactors} | {(one.pid, one.tid) for one in context.pollers}
    rows = [row for row in context.switches_by_thread if row.tids & serving]
    if not rows:
        return Inconclusive(CODE, "no thread was seen that reads messages: put the server under load")
    ignored = _ignored(context, rows)
    losses = [loss for row in rows for loss in _losses(context, row, ignored)]
    worst = [loss for loss in losses if loss.pct >= _LEAST_PCT and loss.forced >= _LEAST_PER_SECOND * context.seconds]
    if not worst and (unsure := _unsure(context, losses)):
        return Inconclusive(
            CODE,
            f"{unsure.competitor} takes the CPU from {unsure.thread} {unsure.forced / context.seconds:.0f} times a "
            "second; for how long is not in this Run: record with stacks (netprobe record)",
        )
    if not worst:
        return Pass(CODE, "nobody takes the serving threads' CPUs for long" + _load_generators(rows))
    return _finding(context, sorted(worst, key=lambda one: -one.pct), len(rows))


def _unsure(context: RunContext, losses: list[Loss]) -> Loss | None:
    """Where neither waits nor stacks say how long: who may have taken enough, with a whole time slice each time."""
    if "run_queue" in context.run.tables or has_profile(context.run.tables):
        return None
    for loss in losses:
        most_ns = _KERNEL_SLICE_NS if _KERNEL_THREAD(loss.competitor) else _SLICE_NS
        per_second = loss.forced / context.seconds
        if per_second >= _LEAST_PER_SECOND and per_second * most_ns / 1e7 >= _LEAST_PCT:
            return loss
    return None


def _ignored(context: RunContext, rows: list[SwitchRow]) -> set[str]:
    """Names that other findings are about."""
    names = {one.row.thread for one in ticking(context)}
    ticks = {tid for one in ticking(context) for tid in one.row.tids}
    names |= {row.thread for row in context.switches_by_thread if row.tids & ticks}
    if context.cause(listener_thread_unpinned):
        names |= {row.thread for row in rows}
    return names


def _losses(context: RunContext, row: SwitchRow, ignored: set[str]) -> list[Loss]:
    shares = _waited(context, row) if "run_queue" in context.run.tables else _estimated(context, row)
    ((_, tid),) = row.tids
    cpus = tuple(sorted(row.by_cpu, key=lambda cpu: -row.by_cpu[cpu])[:_SHOWN])
    return [
        Loss(row.thread, tid, cpus, name, taken, pct)
        for name, (taken, pct) in shares.items()
        if not (name in ignored or _NETPROBE(name) or _LOAD_GENERATOR(name))
    ]


def _waited(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """Time on the run queue, shared among those who ran meanwhile: how often, and percent of the recording."""
    after = row.preempted_by + row.followed_by
    pct = row.total_wait_ns / 1e7 / context.seconds
    return {name: (count, pct * count / after.total()) for name, count in after.items()}


def _estimated(context: RunContext, row: SwitchRow) -> dict[str, tuple[int, float]]:
    """Forced switches by competitor, and what they may have taken, in percent of the recording."""
    off_pct = _off_pct(context, row)
    found = {}
    for name, forced in (+row.preempted_by).items():
        pct = forced * SWITCH_NS / 1e7 / context.seconds
        if off_pct is not None:
            most_ns = _KERNEL_SLICE_NS if _KERNEL_THREAD(name) else _SLICE_NS
            pct = min(off_pct * forced / row.switches, forced * most_ns / 1e7 / context.seconds)
        found[name] = forced, pct
    return found


def _off_pct(context: RunContext, row: SwitchRow) -> float | None:
    """Percent of the recording in which it had no CPU; few samples are a sign of it, none at all tell nothing."""
    try:
        profile = context.profile
    except MissingDataError:
        return None
    if profile.info.unit != "ns":
        return 50.0  # cycles are no time
    chosen = [number for number, thread in enumerate(profile.threads) if (thread.pid, thread.tid) in row.tids]
    samples = profile.samples
    running_ns = float(np.bincount(samples.thread, samples.weight, len(profile.threads))[chosen].sum())
    return 100 - min(100.0, running_ns / 1e7 / context.seconds)


def _load_generators(rows: list[SwitchRow]) -> str:
    taken: Counter[str] = Counter()
    for row in rows:
        taken.update({name: count for name, count in row.preempted_by.items() if count and _LOAD_GENERATOR(name)})
    return f"; the load generator {of_threads(taken)} runs on them as well" if taken else ""


def _finding(context: RunContext, worst: list[Loss], threads: int) -> Finding:
    cost = min(100.0, sum(loss.pct for loss in worst) / threads)
    by: Counter[str] = Counter()
    for loss in worst:
        by[loss.competitor] += loss.forced
    names = [name for name, _ in by.most_common(_SHOWN)]
    victims = {loss.thread for loss in worst}
    return Finding(
        CODE,
        Severity.of(cost),
        f"{', '.join(names)} {'takes' if len(names) == 1 else 'take'} the CPU from {of_threads(victims)}, for about "
        f"{worst[0].pct:.0f} % of the time of {worst[0].thread}.",
        tuple(_evidence(context, loss) for loss in worst[: 2 * _SHOWN]),
        "All connections of a serving thread wait until the scheduler gives its CPU back.",
        _fix(worst[0], victims),
        "sched(7); Documentation/admin-guide/kernel-per-CPU-kthreads.rst",
        cost,
    )


def _evidence(context: RunContext, loss: Loss) -> Evidence:
    per_second = loss.forced / context.seconds
    cpus = ", ".join(map(str, loss.cpus))
    return Evidence(
        f"{loss.competitor} takes CPU {cpus} from {loss.thread} (thread {loss.tid}) {per_second:.0f} times a second, "
        f"about {loss.pct:.0f} % of its time",
        per_second,
        "1/s",
    )


def _fix(loss: Loss, victims: set[str]) -> str:
    if loss.competitor in victims:
        return "Pin each serving thread to a CPU of its own (sched_setaffinity), and have no more of them than CPUs."
    cpu = loss.cpus[0] if loss.cpus else "N"
    return (
        f"Keep {loss.competitor} off CPU {cpu}: taskset -cp, a cpuset (AllowedCPUs=), or isolcpus={cpu} for all but "
        "the server."
    )
