"""How far two recordings of the same thing differ beyond what their intervals show, and what load alone does.

Measured with `bench/aa.py` on 150 recordings of 4 s and 8 s, each of a server that was started anew, on two CPUs
with other work on the machine: nginx with two workers that were not pinned (its load also free to move), and the lab
server with one pinned reactor in five configurations, under wrk at full speed and with pauses. Of each pair of Runs
of one configuration, the difference of the logarithms of a rate beyond what load explains (below) and beyond what
the intervals' spread explains; its root mean square / sqrt(2) is tau. What sets it is whether the threads that serve
are pinned: where the scheduler puts them is another draw in each recording, and stays as it fell.

                                          pinned, measured   free, measured   constants
    time on CPU                           below 0.05         0.18             0.08   0.18
    calls that wait                       0.12               0.37             0.20   0.37
    voluntary switches                    below 0.05         0.11             0.20   0.20
    involuntary switches                  0.27               1.10             0.40   1.10
    preemptions by threads of the target  0.27               0.93             0.40   1.10
    all other calls, packets              below 0.005        below 0.005      0.01   0.01
    the whole machine's switches          0.26 to 0.53       0.13 to 0.30     0.60   0.60
    preemptions by others, forks          1 to 2             1 to 2           1.50   1.50
    throughput, latency                   0.05 to 0.08       0.13             0.08   0.13
    locality (of the odds)                -                  2                0.50   2.00

Too large a tau costs only sensitivity, which is said with each result (`detectable`); to see less, record a series.

Load: a count that goes by time is the same per second, one that goes by requests the same per request. Where one
recording had L times the load of the other, a ratio per request anywhere between 1 and 1 / L is what load
alone can do, and is no change. (CPU time is among it: when a neighbour on the machine takes cycles, the same code
answers fewer requests in the same CPU time.)
"""

from __future__ import annotations

import math

from netprobe.analysis.compare.metrics import Metric

# Runs of a series show by themselves how far they differ; what is left are requests on their way at both ends.
OF_SERIES = 0.002
# By second, without knowing the requests, load is a part of everything. Measured (of requests a second): 0.05 to 0.08
# with pauses, 0.13 for nginx at full speed.
_OF_LOAD = 0.15
# The same code is sampled up to so many times more or less from one recording to the next.
SIMILAR_WEIGHT = 1.6
# Other programs come and go.
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
    """tau of a metric: the standard deviation of one recording's rate around that of all, as a share of it."""
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
    """tau of a rate by second where load is not allowed for."""
    return math.hypot(tau, _OF_LOAD)


def of_cpu_time(pinned: bool) -> float:
    """The same of time on CPU, in all and by function."""
    return _BY_GROUP["CPU time"][not pinned]


def explained_by_load(load_a: float, load_b: float, per: str) -> tuple[float, float]:
    """The smallest and largest ratio B / A by `per` that a difference of load makes; loads in requests a second."""
    ratio = load_a / load_b if per == "request" else load_b / load_a
    return min(1.0, ratio), max(1.0, ratio)
