"""A row of what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

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


Became = Literal["appeared", "went away", "stayed", "inconclusive"]
_ORDER: tuple[Became, ...] = ("appeared", "went away", "stayed", "inconclusive")


class RuleResults(NamedTuple):
    """What the rules say of a Run: code -> claim of what was found, code -> reason why it cannot be told."""

    found: Mapping[str, str]
    unknown: Mapping[str, str]


@dataclass(frozen=True)
class FindingChange:
    """One rule's answer on both sides. `words`: the claim, or why it cannot be told."""

    code: str
    became: Became
    words: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"code": self.code, "became": self.became, "words": self.words}


def finding_changes(before: Sequence[RuleResults], after: Sequence[RuleResults]) -> tuple[FindingChange, ...]:
    """Of two sides' Runs: a side has a finding that most of its Runs have."""
    left, right = of_side(before), of_side(after)
    rows = [
        FindingChange(code, *_became(code, left, right))
        for code in sorted({*left.found, *right.found})
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: _ORDER.index(row.became)))


def _became(code: str, left: RuleResults, right: RuleResults) -> tuple[Became, str]:
    if code in left.found and code in right.found:
        return "stayed", right.found[code]
    if code in right.found:
        if code in left.unknown:
            return "inconclusive", f"B has it ({right.found[code]}); A {left.unknown[code]}"
        return "appeared", right.found[code]
    if code in right.unknown:
        return "inconclusive", f"A has it ({left.found[code]}); B {right.unknown[code]}"
    return "went away", left.found[code]


def of_side(runs: Sequence[RuleResults]) -> RuleResults:
    """What the rules say of most of its Runs."""

    def most(part: int) -> dict[str, str]:
        words = {code: text for run in runs for code, text in run[part].items()}
        return {code: text for code, text in words.items() if 2 * sum(code in run[part] for run in runs) > len(runs)}

    return RuleResults(most(0), most(1))
