"""Which way a metric gets worse: what a gate takes for a regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netprobe.analysis.compare.change import Worse
from netprobe.analysis.compare.metrics import ZERO_TIMEOUT, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = dict[Metric, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]]

_MORE = ("system calls", "switches", "preemptions", "machine")
# Where a server that has nothing to do waits for work.
_FOR_WORK = frozenset(
    (
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"),
        *("io_uring_enter", "io_getevents", "io_pgetevents"),
    )
)


def worse(metric: Metric, after: Rows) -> Worse:
    """Whether more of it is worse, or less, or neither. `after`: what the later side counted."""
    if metric.group == "timeouts":
        return "more" if metric.detail == ZERO_TIMEOUT else ""
    if metric.group == "load":
        return "less" if metric.unit == "requests" else "more"
    if metric.group == "locality":
        return "less"
    if metric.group not in _MORE or (metric.group == "machine" and metric.by_others):
        return ""
    return "" if metric.name == "voluntary switches" and _are_waits_for_work(metric, after) else "more"


def _are_waits_for_work(switches: Metric, rows: Rows) -> bool:
    """Whether its waits for work are enough to explain each time that a thread left its CPU of its own will.

    A server that got faster has nothing to do more often. One that waits for a lock or a disk has more such switches
    than waits for work.
    """
    if switches not in rows:
        return False
    waits = 0.0
    for metric, (counts, _) in rows.items():
        if metric.role == switches.role and metric.name in _FOR_WORK:
            if metric.group == "system calls" and not metric.detail:
                waits += counts.sum()
            elif metric.group == "timeouts" and metric.detail == ZERO_TIMEOUT:
                waits -= counts.sum()
    return bool(rows[switches][0].sum() <= waits)
