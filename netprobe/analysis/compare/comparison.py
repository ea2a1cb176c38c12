"""Compares two Runs, or two series of Runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netprobe.analysis.compare.batches import all_batches
from netprobe.analysis.compare.change import Change, FindingChange, RuleResults, finding_changes, of_side
from netprobe.analysis.compare.comparability import Difference, differences, skipped
from netprobe.analysis.compare.evaluation import evaluate_batches
from netprobe.analysis.compare.regressions import regressions
from netprobe.analysis.compare.sides import Side
from netprobe.errors import NetprobeError
from netprobe.run.model import Run

if TYPE_CHECKING:
    import pandas as pd

    from flamegraph.profile import Profile
    from netprobe.analysis.compare.explanations import Explained, Renamed

    Judging = Callable[[Run, Profile | None], RuleResults]

PER = ("auto", "request", "second")


@dataclass(frozen=True)
class Comparison:
    """What differs between two sides, what changed, and what that means."""

    a: Side
    b: Side
    per: str
    """`second` or `request`."""
    comparable: tuple[Difference, ...]
    """What else differs; said first."""
    rows: tuple[Change, ...]
    """Every metric and function that was compared, best first."""
    skipped: tuple[str, ...]
    """What could not be compared, in sentences."""
    _judge: Judging | None = field(default=None, repr=False)

    @property
    def changes(self) -> pd.DataFrame:
        """A row for every metric and function, changed ones first; `verdict` says what became of it."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self.rows])

    @property
    def changed(self) -> list[Change]:
        """Only what changed."""
        return [row for row in self.rows if row.changed]

    @cached_property
    def findings(self) -> tuple[FindingChange, ...]:
        """Findings that appeared, went away, stayed, or cannot be told."""
        return finding_changes(*self._judged)

    @property
    def undecided(self) -> Mapping[str, str]:
        """Codes of the rules that can say nothing of B, and why."""
        return of_side(self._judged[1]).unknown

    @cached_property
    def _judged(self) -> tuple[list[RuleResults], list[RuleResults]]:
        return self._judged_side(self.a), self._judged_side(self.b)

    def _judged_side(self, side: Side) -> list[RuleResults]:
        if self._judge is None:
            return []
        return [self._judge(run, profile) for run, profile in zip(side.runs, _profiles(side), strict=True)]

    @cached_property
    def explained(self) -> tuple[Explained, ...]:
        """The deepest functions that explain what changed in the stacks, the heaviest explanation first."""
        from netprobe.analysis.compare.explanations import explain

        return explain(self.a, self.b, self.per, self.rows)

    @cached_property
    def renamed(self) -> tuple[Renamed, ...]:
        """Functions that may only have got another name, or been inlined: proposals."""
        from netprobe.analysis.compare.explanations import proposals

        return proposals(self.a, self.b, self.per, self.rows)

    def regressions(self, percent: float = 0.0) -> list[Change]:
        """What is at least so many percent worse in B; of locality, so many points (see regressions.py)."""
        return regressions(self.rows, percent)


def _profiles(side: Side) -> Sequence[Profile | None]:
    return side.profiles if side.has_profile else [None] * len(side.runs)


def compare_sides(a: Side, b: Side, per: str = "auto", evaluated: Judging | None = None) -> Comparison:
    """Compare. `per`: "second", "request", or "auto" for requests where both sides know them."""
    per = _denominator(a, b, per)
    # Without time and requests there is nothing to divide by; what the rules say can be compared all the same.
    rows = tuple(evaluate_batches(all_batches(a, b, per))) if per == "request" or (a.timed and b.timed) else ()
    return Comparison(a, b, per, tuple(differences(a, b)), rows, tuple(skipped(a, b)), evaluated)


def sides_of(a: Run | Sequence[Run], b: Run | Sequence[Run]) -> tuple[Side, Side]:
    """Two Runs, or two series of them."""
    if isinstance(a, Run) and isinstance(b, Run):
        return Side([a], "A"), Side([b], "B")
    if isinstance(a, Run) or isinstance(b, Run):
        raise NetprobeError("A Run and a series cannot be compared.", hint="Give two Runs, or two series.")
    for runs, name in ((a, "A"), (b, "B")):
        if len(runs) < 2:
            raise NetprobeError(
                f"The series {name} has {len(runs)} Run{'' if len(runs) == 1 else 's'}: nothing is repeated in it.",
                hint="Record more with netprobe record --repeat, or compare without --series.",
            )
    return Side(a, "A", series=True), Side(b, "B", series=True)


def _denominator(a: Side, b: Side, per: str) -> str:
    if per not in PER:
        raise ValueError(f"per {per!r} is none of {', '.join(PER)}")
    known = a.requests is not None and b.requests is not None
    if per == "request" and not known:
        which = " and ".join(side.name for side in (a, b) if side.requests is None)
        raise NetprobeError(
            f"How many requests {which} served is not known.",
            hint="Compare --per second; or record with --requests, --requests-from or the locality probe.",
        )
    untimed = " and ".join(side.name for side in (a, b) if not side.timed)
    if untimed and per == "second":
        raise NetprobeError(f"How long {untimed} took is not known.", hint="Import it with -d SECONDS.")
    return "request" if known and per != "second" else "second"


def as_plain(comparison: Comparison) -> dict[str, Any]:
    """For JSON (schema/diff.json)."""
    return {
        "per": comparison.per,
        "sides": [
            {
                "name": side.name,
                "target": str(side.run.info["target"]["description"]),
                "runs": len(side.runs),
                "seconds": side.seconds if side.timed else None,
                "requests": side.requests,
                "requests_estimated": any(clock.estimated for clock in side.clocks) if side.requests else None,
            }
            for side in (comparison.a, comparison.b)
        ],
        "comparable": [
            {"aspect": one.aspect, "words": one.words, "before": one.before, "after": one.after}
            for one in comparison.comparable
        ],
        "skipped": list(comparison.skipped),
        "changes": [row.as_dict() for row in comparison.rows],
        "explained": [one.as_dict() for one in comparison.explained],
        "perhaps_renamed": [one.as_dict() for one in comparison.renamed],
        "findings": [one.as_dict() for one in comparison.findings],
    }
