"""The comparison of two Runs, or of two series of Runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from netprobe.analysis.compare.batches import all_batches
from netprobe.analysis.compare.change import Change, FindingChange, RuleResults, finding_changes, majority
from netprobe.analysis.compare.comparability import ComparabilityWarning, comparability_warnings, skipped
from netprobe.analysis.compare.evaluation import evaluate_batches
from netprobe.analysis.compare.regressions import regressions
from netprobe.analysis.compare.sides import Side
from netprobe.errors import NetprobeError
from netprobe.run.model import Run

if TYPE_CHECKING:
    import pandas as pd

    from netprobe.analysis.compare.explanations import Explained, Renamed

    EvaluateRules = Callable[[Run], RuleResults]

PER = ("auto", "request", "second")


@dataclass(frozen=True)
class Comparison:
    """Comparability warnings, changes, and findings of two sides."""

    a: Side
    b: Side
    per: str
    """`second` or `request`."""
    comparability_warnings: tuple[ComparabilityWarning, ...]
    """Differences between the recordings other than the measured ones."""
    rows: tuple[Change, ...]
    """Every metric and function that was compared: significant changes first, the highest score first."""
    skipped: tuple[str, ...]
    """Metrics that could not be compared, with the reason, in sentences."""
    _evaluate_rules: EvaluateRules | None = field(default=None, repr=False)

    @property
    def changes(self) -> pd.DataFrame:
        """A row per metric and function with its `verdict`: significant changes first."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self.rows])

    @property
    def changed(self) -> list[Change]:
        """The rows with a significant change."""
        return [row for row in self.rows if row.changed]

    @cached_property
    def findings(self) -> tuple[FindingChange, ...]:
        """Findings that appeared, went away, stayed, or are inconclusive on one side."""
        return finding_changes(*self._rule_results)

    @property
    def inconclusive_in_b(self) -> Mapping[str, str]:
        """Codes of the rules that are inconclusive in B, with the reason."""
        return majority(self._rule_results[1]).inconclusive

    @cached_property
    def _rule_results(self) -> tuple[list[RuleResults], list[RuleResults]]:
        evaluate = self._evaluate_rules
        if evaluate is None:
            return [], []
        return [evaluate(run) for run in self.a.runs], [evaluate(run) for run in self.b.runs]

    @cached_property
    def explained(self) -> tuple[Explained, ...]:
        """The deepest functions that explain the change of the stacks, the most important first."""
        from netprobe.analysis.compare.explanations import explain

        return explain(self.a, self.b, self.per, self.rows)

    @cached_property
    def possibly_renamed(self) -> tuple[Renamed, ...]:
        """Functions that may only have been renamed or inlined."""
        from netprobe.analysis.compare.explanations import possibly_renamed

        return possibly_renamed(self.a, self.b, self.per, self.rows)

    def regressions(self, percent: float = 0.0) -> list[Change]:
        """Rows that are at least `percent` worse in B (locality: percentage points); see regressions.py."""
        return regressions(self.rows, percent)


def compare_sides(a: Side, b: Side, per: str = "auto", evaluate_rules: EvaluateRules | None = None) -> Comparison:
    """Compare two sides. `per`: "second", "request", or "auto": per request if both have their number."""
    per = _normalization(a, b, per)
    # Without time and requests no rate is known, but findings can still be compared.
    rows = tuple(evaluate_batches(all_batches(a, b, per))) if per == "request" or (a.timed and b.timed) else ()
    return Comparison(a, b, per, tuple(comparability_warnings(a, b)), rows, tuple(skipped(a, b)), evaluate_rules)


def sides_of(a: Run | Sequence[Run], b: Run | Sequence[Run]) -> tuple[Side, Side]:
    """The sides of two Runs, or of two series of Runs."""
    if isinstance(a, Run) and isinstance(b, Run):
        return Side([a], "A"), Side([b], "B")
    if isinstance(a, Run) or isinstance(b, Run):
        raise NetprobeError("A Run and a series cannot be compared.", hint="Specify two Runs, or two series.")
    for runs, name in ((a, "A"), (b, "B")):
        if len(runs) < 2:
            raise NetprobeError(
                f"The series {name} has {len(runs)} Run{'' if len(runs) == 1 else 's'}; a series needs 2 at least.",
                hint="Record more with netprobe record --repeat, or compare without --series.",
            )
    return Side(a, "A", series=True), Side(b, "B", series=True)


def _normalization(a: Side, b: Side, per: str) -> str:
    if per not in PER:
        raise ValueError(f"per {per!r} is none of {', '.join(PER)}")
    known = a.requests is not None and b.requests is not None
    if per == "request" and not known:
        unknown = " and ".join(side.name for side in (a, b) if side.requests is None)
        raise NetprobeError(
            f"The number of requests in {unknown} is not known.",
            hint="Compare --per second; or record with --requests, --requests-from or the locality probe.",
        )
    untimed = " and ".join(side.name for side in (a, b) if not side.timed)
    if untimed and per == "second":
        raise NetprobeError(f"The length of {untimed} is not known.", hint="Import it with -d SECONDS.")
    return "request" if known and per != "second" else "second"
