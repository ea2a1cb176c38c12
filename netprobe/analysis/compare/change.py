"""Results of a comparison: a row per metric or function, and a row per finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

ChangeVerdict = Literal["new", "gone", "more", "less", "within noise", "inconclusive"]
Worse = Literal["more", "less", ""]
RowKind = Literal["metric", "function", "function self"]
CHANGED = ("new", "gone", "more", "less")


@dataclass(frozen=True)
class Change:
    """One metric or function on both sides. Rates are per `per`, in `unit`."""

    kind: RowKind
    """`function`: with its callees; `function self`: without them."""
    group: str
    name: str
    role: str
    module: str
    unit: str
    per: str
    """`second`, `request`, `message` or `call`."""
    worse: Worse
    """Which direction is worse; "" if neither is."""
    family: str
    """Of a system call: name of the row that adds up all equivalent calls; "" if there is no such row."""
    rate_a: float
    rate_b: float
    error_a: float
    """Standard error, from the spread between intervals or Runs alone."""
    error_b: float
    change_pct: float | None
    """None if the rate in A is 0."""
    low_pct: float | None
    """Lower end of the 95 % confidence interval of the change; it includes run-to-run variation."""
    high_pct: float | None
    p: float | None
    verdict: ChangeVerdict
    smallest_detectable_change_pct: float | None
    """The smallest growth that is detected with a probability of 80 %."""
    score: float = 0.0
    """Rank: logarithm of the smallest ratio that the data support, times the root of the share of the total."""

    @property
    def changed(self) -> bool:
        """Whether the change is significant."""
        return self.verdict in CHANGED

    def as_dict(self) -> dict[str, Any]:
        """For tables and JSON."""
        return asdict(self)


# ---- Findings ----

FindingStatus = Literal["appeared", "went away", "stayed", "inconclusive"]
_ORDER: tuple[FindingStatus, ...] = ("appeared", "went away", "stayed", "inconclusive")


class RuleResults(NamedTuple):
    """Results of all rules on one Run: code -> summary of the finding, code -> reason why it is inconclusive."""

    findings: Mapping[str, str]
    inconclusive: Mapping[str, str]


@dataclass(frozen=True)
class FindingChange:
    """A finding and its status in B compared with A. `message`: its summary, or why the rule is inconclusive."""

    code: str
    status: FindingStatus
    message: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"code": self.code, "status": self.status, "message": self.message}


def finding_changes(before: Sequence[RuleResults], after: Sequence[RuleResults]) -> tuple[FindingChange, ...]:
    """Compare the findings of two sides' Runs. A side has a finding if more than half of its Runs have it."""
    left, right = majority(before), majority(after)
    codes = sorted({*left.findings, *right.findings})
    rows = [FindingChange(code, *_status(code, left, right)) for code in codes]
    return tuple(sorted(rows, key=lambda row: _ORDER.index(row.status)))


def _status(code: str, left: RuleResults, right: RuleResults) -> tuple[FindingStatus, str]:
    if code in left.findings and code in right.findings:
        return "stayed", right.findings[code]
    if code in right.findings:
        if code in left.inconclusive:
            return "inconclusive", f"found in B ({right.findings[code]}); inconclusive in A: {left.inconclusive[code]}"
        return "appeared", right.findings[code]
    if code in right.inconclusive:
        return "inconclusive", f"found in A ({left.findings[code]}); inconclusive in B: {right.inconclusive[code]}"
    return "went away", left.findings[code]


def majority(runs: Sequence[RuleResults]) -> RuleResults:
    """The findings, and the inconclusive rules, of more than half of the Runs."""

    def of_most(results: Sequence[Mapping[str, str]]) -> dict[str, str]:
        messages = {code: message for result in results for code, message in result.items()}
        return {
            code: message
            for code, message in messages.items()
            if 2 * sum(code in result for result in results) > len(results)
        }

    return RuleResults(of_most([run.findings for run in runs]), of_most([run.inconclusive for run in runs]))
