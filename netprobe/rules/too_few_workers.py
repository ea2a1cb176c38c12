"""Every serving thread is saturated while CPUs are idle.

## Detection

Input: the time budgets of the serving threads, and the idle time of the machine. A finding is reported if each serving
thread runs for at least 85 % of its time, there are fewer of them than the process may use CPUs, and idle CPUs have at
least 20 % of the machine's time.

The cost is the share of throughput that more threads could add at most: idle CPUs relative to idle and serving CPUs.

## Why it matters

The server is at its limit although the machine is not: requests queue while CPUs sleep.

One event loop uses one CPU, and further CPUs help only if there are further workers.

## Fix

Start as many workers (or event loops) as there are CPUs, each with its own SO_REUSEPORT listener.

nginx: `worker_processes auto`; gunicorn and uvicorn: `--workers`; Node: the cluster module or several processes; Redis:
io-threads, or several instances; Go: GOMAXPROCS. Leave CPUs for clients or backends on the same host.

## Source

socket(7), SO_REUSEPORT; Documentation/networking/scaling.rst.
"""

from __future__ import annotations

from netprobe.analysis.locality import parse_cpu_list
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "too-few-workers"
DOCUMENTATION = parse(__doc__)
_MIN_RUNNING_PCT, _MIN_IDLE_PCT = 85.0, 20.0


def evaluate(context: RunContext) -> Result:
    """Saturated threads beside idle CPUs."""
    if context.saturation is None:
        return Pass(CODE, "no thread serves")
    threads = context.saturation.colleagues
    if not threads:
        return Pass(CODE, "no thread handles messages")
    running = [row.share(row.running_ns) for row in threads]
    if min(running) < _MIN_RUNNING_PCT:
        return Pass(CODE, f"a serving thread runs {min(running):.0f} % of the time")
    cpus = len(parse_cpu_list(context.cpus_online))
    if len(threads) >= cpus:
        return Pass(CODE, f"there are {len(threads)} serving threads for {cpus} CPUs")
    try:
        idle_pct = context.idle_pct
    except MissingDataError as missing:
        return Inconclusive(CODE, str(missing))
    if idle_pct < _MIN_IDLE_PCT:
        return Pass(CODE, f"the CPUs of the machine are idle {idle_pct:.0f} % of the time")
    idle_cpus = idle_pct / 100 * cpus
    cost = 100 * idle_cpus / (idle_cpus + len(threads))
    count = f"{len(threads)} serving thread{'' if len(threads) == 1 else 's'}"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{count} run{'s' if len(threads) == 1 else ''} {min(running):.0f} % of the time, while {idle_cpus:.1f} of "
        f"{cpus} CPUs are idle.",
        (
            Evidence(
                f"{count}: {', '.join(f'{share:.0f} %' for share in sorted(running)[:8])} running", min(running), "%"
            ),
            Evidence(f"the machine's CPUs are idle {idle_pct:.0f} % of the time", idle_pct, "%"),
        ),
        DOCUMENTATION,
        cost_pct=cost,
        of="thread time",
    )
