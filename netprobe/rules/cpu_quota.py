"""The CPU quota of a cgroup throttles the server.

## Detection

Input: nr_throttled and the throttled time of the target's cgroups with a CPU quota (v1 and v2, the cgroups above
included) during the recording. A finding is reported if at least 5 % of the periods were throttled.

The cost is the time for which the serving threads were runnable and did not run, in percent of all their time, as the
kernel measures it; without times of threads, the share of throttled periods.

## Why it matters

When the quota of a period is used up, all threads of the cgroup stop until the next period, also on idle CPUs.

Requests that arrive meanwhile wait for up to a period (100 ms by default): the tail of the latency shows it first.

## Fix

Raise the quota, or use less CPU at a time: fewer threads than the quota has CPUs.

systemd: `CPUQuota=`; containers: `--cpus` or the CPU limit of the pod. A quota of 2 CPUs and 16 busy threads is used up
after an eighth of a period. A shorter period makes each stop shorter; `cpu.max.burst` lets unused time accumulate. A
weight (`cpu.weight`) shares CPUs without stops.

## Source

Documentation/scheduler/sched-bwc.rst; Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat).
"""

from __future__ import annotations

from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "cpu-quota"
DOCUMENTATION = parse(__doc__)
_MIN_THROTTLED_PCT = 5.0


def evaluate(context: RunContext) -> Result:
    """The cgroup with the largest share of throttled periods."""
    context.require("cpu_limits")
    columns = ("cgroup", "quota_us", "period_us", "periods", "throttled_periods", "throttled_ns")
    limits = [row for row in context.run.tables["cpu_limits"].rows(*columns) if row[3]]
    if not limits:
        return Pass(CODE, "no cgroup of the server has a CPU quota")
    cgroup, quota_us, period_us, periods, throttled, throttled_ns = max(limits, key=lambda row: row[4] / row[3])
    share = 100 * throttled / periods
    if share < _MIN_THROTTLED_PCT:
        return Pass(CODE, f"{throttled} of {periods} periods were throttled")
    cost, waiting = _run_delay(context, share)
    cpus = quota_us / period_us
    return Finding(
        CODE,
        Severity.of(cost),
        f"The CPU quota of {cpus:g} CPU{'' if cpus == 1 else 's'} stops the server in {share:.0f} % of the periods.",
        (
            Evidence(f"cgroup {cgroup}: {quota_us} µs in each period of {period_us} µs", cpus, "CPUs"),
            Evidence(f"{throttled} of {periods} periods were throttled", share, "%"),
            Evidence(f"CPUs were throttled for {throttled_ns / 1e9:.2f} s in {context.run.elapsed_seconds:.1f} s"),
            *waiting,
        ),
        DOCUMENTATION,
        cost_pct=cost,
        of="thread time",
    )


def _run_delay(context: RunContext, share: float) -> tuple[float, list[Evidence]]:
    try:
        serving = context.serving_time
    except MissingDataError:
        return share, []
    delay = serving.alive_pct(serving.runnable_ns)
    text = f"the serving threads were runnable without a CPU for {delay:.1f} % of the time"
    return delay, [Evidence(text, delay, "%")]
