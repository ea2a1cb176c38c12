"""Run-to-run variation beyond the spread within a recording, and the effect of load alone.

Measured with `bench/aa.py` on 150 recordings of 4 s and 8 s, each of a newly started server, on two CPUs with other
work on the machine: nginx with two workers that were not pinned (its load also free to move), and the lab server with
one pinned reactor in five configurations, under wrk at full speed and with pauses. For each pair of Runs of one
configuration: the difference of the logarithms of a rate, beyond what load explains (below) and beyond what the
spread of the intervals explains. tau is its root mean square / sqrt(2). It depends mainly on whether the serving
threads are pinned, because the scheduler places free threads anew in each recording and rarely moves them afterwards.

                                          pinned, measured   free, measured   constants
    time on CPU                           below 0.05         0.18             0.08   0.18
    calls that wait                       0.12               0.37             0.20   0.37
    voluntary switches                    below 0.05         0.11             0.20   0.20
    involuntary switches                  0.27               1.10             0.40   1.10
    preemptions by threads of the target  0.27               0.93             0.40   1.10
    all other calls, packets              below 0.005        below 0.005      0.01   0.01
    switches of the whole machine         0.26 to 0.53       0.13 to 0.30     0.60   0.60
    preemptions by others, forks          1 to 2             1 to 2           1.50   1.50
    throughput, latency                   0.05 to 0.08       0.13             0.08   0.13
    locality (of the odds)                -                  2                0.50   2.00

Too large a tau costs only sensitivity, which each result states (its smallest detectable change). A series of Runs
detects smaller changes.

Load: a count that depends on time has the same rate per second at any load, a count that depends on requests the same
rate per request. If one recording had L times the load of the other, load alone explains any ratio per request
between 1 and 1 / L, and such a ratio is not a change. (The same holds for CPU time: if a neighbour on the machine
takes cycles, the same code answers fewer requests in the same CPU time.)
"""

from __future__ import annotations

import math

from netprobe.analysis.compare.metrics import Metric

# The Runs of a series show their own variation; only requests in flight at start and stop remain.
OF_SERIES = 0.002
# Rates per second include the variation of the load. Measured (requests per second): 0.05 to 0.08 with pauses, 0.13
# for nginx at full speed.
_OF_LOAD = 0.15
# Weights of the same code in two recordings differ by less than this factor.
SIMILAR_WEIGHT = 1.6
# Events of programs that are not observed: those start and exit independently.
_OF_OTHERS = 1.5
_CALLS = 0.01
# (pinned, free), as in the table above.
_WAITS = (0.20, 0.37)
_VOLUNTARY = (0.20, 0.20)
_BY_GROUP = {
    "CPU time": (0.08, 0.18),
    "switches": (0.40, 1.10),
    "preemptions": (0.40, 1.10),
    "machine": (0.60, 0.60),
    "busy polling": _WAITS,
    "locality": (0.50, 2.00),
    "load": (0.08, 0.13),
}


def run_to_run(metric: Metric, pinned: bool) -> float:
    """tau of a metric: the standard deviation of the rate between recordings, relative to the rate."""
    free = not pinned
    if metric.of == "mean" and metric.group != "load":
        return _CALLS
    if metric.by_others:
        return _OF_OTHERS
    if metric.waits:
        return _WAITS[free]
    if metric.name == "voluntary switches":
        return _VOLUNTARY[free]
    return _BY_GROUP.get(metric.group, (_CALLS, _CALLS))[free]


def with_load(tau: float) -> float:
    """tau of a rate per second, which includes the variation of the load."""
    return math.hypot(tau, _OF_LOAD)


def of_cpu_time(pinned: bool) -> float:
    """tau of the time on CPU, of all threads and per function."""
    return _BY_GROUP["CPU time"][not pinned]


def explained_by_load(load_a: float, load_b: float, per: str) -> tuple[float, float]:
    """The smallest and the largest ratio B / A that the difference of load explains; loads in requests per second.

    `per`: what the rates are divided by.
    """
    ratio = load_a / load_b if per == "request" else load_b / load_a
    return min(1.0, ratio), max(1.0, ratio)
