"""What got worse, for a gate; and what a gate could not judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netprobe.analysis.compare.change import Change, Worse
from netprobe.analysis.compare.metrics import ZERO_TIMEOUT, Metric, Rows
from netprobe.analysis.compare.noise import SIMILAR_WEIGHT


def regressions(rows: Sequence[Change], percent: float = 0.0) -> list[Change]:
    """What is at least so many percent worse in B; of locality, so many points. Strongest first, each name once.

    A new call or switch is one, unless it takes the place of others of its family. A new function is one if it
    costs at least so many percent of all time on CPU in A (`_Time`).
    """
    named = {(row.group, row.name): row for row in rows if row.kind == "metric"}
    time = _Time.of(rows)
    worse = [row for row in rows if row.changed and _is_worse(row, percent, time)]
    left = [row for row in worse if not _is_another_form(row, named) and not _is_of_sleeps(row, rows)]
    return _each_once(sorted(left, key=lambda row: (row.kind != "metric", -row.score)))


def _each_once(rows: Iterable[Change]) -> list[Change]:
    """A function by itself and with what it calls is one function: the stronger of both."""
    found: dict[tuple[str, str, str], Change] = {}
    for row in rows:
        found.setdefault((row.group, row.name, row.module), row)
    return list(found.values())


@dataclass(frozen=True)
class _Time:
    """All time on CPU, and what of it other functions do not take any more in B.

    With another name, or cut out of another function, a new one may be the same work: a cost is only what it takes
    beyond that, and no more than all time on CPU grew by. What has no name in A may have one in B.
    """

    before: float
    grown: float
    saved: float

    @classmethod
    def of(cls, rows: Sequence[Change]) -> _Time:
        everything = [row for row in rows if row.kind == "metric" and row.group == "CPU time"]
        own = [row for row in rows if row.kind == "function itself"]
        before, after = sum(row.rate_a for row in everything), sum(row.rate_b for row in everything)
        nameless_a, nameless_b = before - sum(row.rate_a for row in own), after - sum(row.rate_b for row in own)
        # Seen to go or not: of those that went, the one with all that it called.
        gone = max((row.rate_a for row in rows if row.kind == "function" and not row.rate_b), default=0.0)
        less = sum(row.rate_a - row.rate_b for row in own if row.verdict in ("gone", "less"))
        return cls(before, after - before, max(gone, less) + max(nameless_a - nameless_b, 0.0))

    def is_cost(self, rate: float, percent: float) -> bool:
        """Whether a new function that takes this long costs so much, at least."""
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


def _is_another_form(row: Change, named: dict[tuple[str, str], Change]) -> bool:
    """Whether it is of a family of which there is no more than before."""
    family = named.get((row.group, row.family)) if row.family else None
    return family is not None and family.verdict not in ("new", "more")


def _is_of_sleeps(row: Change, rows: Sequence[Change]) -> bool:
    """Of the whole machine's switches: whether the target's waits for work explain them; each is two switches."""
    if row.group != "machine":
        return False
    sleeps = [one for one in rows if one.group == "switches" and not one.worse]
    return row.rate_b - row.rate_a <= 2 * sum(one.rate_b - one.rate_a for one in sleeps)


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
