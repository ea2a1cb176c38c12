"""Findings that appeared, went away or stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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
