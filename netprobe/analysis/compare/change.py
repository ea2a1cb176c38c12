"""A row of what was compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["new", "gone", "more", "less", "no change seen", "inconclusive"]
Worse = Literal["more", "less", ""]
CHANGED = ("new", "gone", "more", "less")


@dataclass(frozen=True)
class Change:
    """One metric or function on both sides. Rates are by `per`, in `unit`."""

    kind: Literal["metric", "function", "function itself"]
    """`function`: with all that it calls."""
    group: str
    name: str
    role: str
    module: str
    unit: str
    per: str
    """`second`, `request`, `share` (percent of all messages …) or `call`."""
    worse: Worse
    """Which way it costs; "" where neither does."""
    family: str
    """Of a system call: the row with all calls that do the same; "" where none was compared."""
    rate_a: float
    rate_b: float
    error_a: float
    """Standard error, from the spread between intervals or Runs alone."""
    error_b: float
    change_pct: float | None
    """None where A has none."""
    low_pct: float | None
    """95 % confidence interval of the change, run-to-run variation included."""
    high_pct: float | None
    p: float | None
    verdict: Verdict
    detectable_pct: float | None
    """The growth that would have been seen with a probability of 80 %."""
    score: float = 0.0
    """Ranks changes: how many times more or less it is at least (logarithm), times the root of its part in all."""

    @property
    def changed(self) -> bool:
        """Whether a change was seen."""
        return self.verdict in CHANGED

    def as_dict(self) -> dict[str, Any]:
        """For tables and JSON."""
        return asdict(self)
