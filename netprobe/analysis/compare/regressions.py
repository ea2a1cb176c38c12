"""Regressions: which direction of a metric is worse, and which changes a gate reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netprobe.analysis.compare.change import Change, Worse
from netprobe.analysis.compare.metrics import ZERO_TIMEOUT, Metric, Rows
from netprobe.analysis.compare.noise import SIMILAR_WEIGHT

# ---- Direction ----

_MORE_IS_WORSE = ("system calls", "switches", "preemptions", "machine")
# Calls in which an idle server waits for work.
_WAITS_FOR_WORK = frozenset(
    (
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"),
        *("io_uring_enter", "io_getevents", "io_pgetevents"),
    )
)


def worse(metric: Metric, after: Rows) -> Worse:
    """Which direction of a metric is worse; "" if neither is. `after`: counts of side B."""
    if metric.group == "timeouts":
        return "more" if metric.detail == ZERO_TIMEOUT else ""
    if metric.group == "load":
        return "less" if metric.unit == "requests" else "more"
    if metric.group == "locality":
        return "less"
    if metric.group not in _MORE_IS_WORSE or (metric.group == "machine" and metric.by_others):
        return ""
    return "" if metric.name == "voluntary switches" and _are_blocking_waits(metric, after) else "more"


def _are_blocking_waits(switches: Metric, rows: Rows) -> bool:
    """Whether the role has at least as many waits for work as voluntary switches.

    A faster server is idle more often. A server that waits for a lock or a disk has more voluntary switches than
    waits for work.
    """
    if switches not in rows:
        return False
    waits = 0.0
    for metric, (counts, _) in rows.items():
        if metric.role == switches.role and metric.name in _WAITS_FOR_WORK:
            if metric.group == "system calls" and not metric.detail:
                waits += counts.sum()
            elif metric.group == "timeouts" and metric.detail == ZERO_TIMEOUT:
                waits -= counts.sum()
    return bool(rows[switches][0].sum() <= waits)


# ---- Gate ----


def regressions(rows: Sequence[Change], percent: float = 0.0) -> list[Change]:
    """Rows that are at least `percent` worse in B (locality: percentage points): the highest score first, names once.

    A new system call or switch is a regression, unless it replaces others of its family. A new function is one if it
    costs at least `percent` of the total time on CPU in A (`_Time`).
    """
    by_name = {(row.group, row.name): row for row in rows if row.kind == "metric"}
    time = _Time.of(rows)
    worse_rows = [row for row in rows if row.changed and _is_worse(row, percent, time)]
    kept = [row for row in worse_rows if not _replaces_others(row, by_name) and not _is_blocking_for_work(row, rows)]
    return _each_once(sorted(kept, key=lambda row: (row.kind != "metric", -row.score)))


def _each_once(rows: Iterable[Change]) -> list[Change]:
    """Self and inclusive time of a function are one regression: keep the first of both."""
    found: dict[tuple[str, str, str], Change] = {}
    for row in rows:
        found.setdefault((row.group, row.name, row.module), row)
    return list(found.values())


@dataclass(frozen=True)
class _Time:
    """Total time on CPU in A, its growth, and the time that other functions save in B.

    A new function may be a renamed one, or a part of another function: its cost is its time less the time saved
    elsewhere, and at most the growth of the total. Functions without a symbol in A may have one in B.
    """

    before: float
    grown: float
    saved: float

    @classmethod
    def of(cls, rows: Sequence[Change]) -> _Time:
        cpu_time = [row for row in rows if row.kind == "metric" and row.group == "CPU time"]
        of_self = [row for row in rows if row.kind == "function self"]
        before, after = sum(row.rate_a for row in cpu_time), sum(row.rate_b for row in cpu_time)
        nameless_a, nameless_b = before - sum(row.rate_a for row in of_self), after - sum(row.rate_b for row in of_self)
        # Significant or not: of the functions absent in B, the one with the largest inclusive time.
        gone = max((row.rate_a for row in rows if row.kind == "function" and not row.rate_b), default=0.0)
        less = sum(row.rate_a - row.rate_b for row in of_self if row.verdict in ("gone", "less"))
        return cls(before, after - before, max(gone, less) + max(nameless_a - nameless_b, 0.0))

    def is_cost(self, rate: float, percent: float) -> bool:
        """Whether a new function with this rate costs at least `percent`."""
        cost = min(rate - SIMILAR_WEIGHT * self.saved, self.grown)
        return cost > 0 and cost >= self.before * percent / 100


def _is_worse(row: Change, percent: float, time: _Time) -> bool:
    if row.worse == "less" and row.unit == "%":
        return row.verdict in ("less", "gone") and row.rate_a - row.rate_b >= percent
    if row.verdict == "new" and row.group == "functions":
        return time.is_cost(row.rate_b, percent)
    if row.verdict in ("new", "gone"):
        return row.worse == {"new": "more", "gone": "less"}[row.verdict]
    if row.verdict != row.worse or row.change_pct is None:
        return False
    return abs(row.change_pct) >= percent


def _replaces_others(row: Change, by_name: dict[tuple[str, str], Change]) -> bool:
    """Whether the row belongs to a family of calls that did not grow."""
    family = by_name.get((row.group, row.family)) if row.family else None
    return family is not None and family.verdict not in ("new", "more")


def _is_blocking_for_work(row: Change, rows: Sequence[Change]) -> bool:
    """Whether the target's waits for work explain the switches of the whole machine; each wait is two switches."""
    if row.group != "machine":
        return False
    waits = [other for other in rows if other.group == "switches" and not other.worse]
    return row.rate_b - row.rate_a <= 2 * sum(wait.rate_b - wait.rate_a for wait in waits)
