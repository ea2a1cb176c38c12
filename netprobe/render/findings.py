"""Findings as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netprobe.rules.finding import Finding, Inconclusive, Pass, Result, Severity

_LABELS = {Severity.NOTE: "note", Severity.MINOR: "minor", Severity.MAJOR: "MAJOR"}


def finding_lines(number: int, finding: Finding) -> list[str]:
    """A finding as text, beginning with its summary."""
    return [
        f"{number}. {_LABELS[finding.severity]}  {finding.code}: {finding.summary}",
        *(f"   - {evidence.text}" for evidence in finding.evidence),
        f"   Why it matters: {finding.why_it_matters}",
        f"   Fix: {finding.fix}",
        f"   More: netprobe explain {finding.code}",
    ]


def summary_lines(results: Sequence[Result], explained: Sequence[Result] | None = None) -> list[str]:
    """The number of findings, passed and inconclusive rules in one line, then the reasons of the inconclusive ones.

    `explained`: the results whose reasons are shown, all by default. Rules with the same reason share a line.
    """
    findings = sum(isinstance(result, Finding) for result in results)
    passed = sum(isinstance(result, Pass) for result in results)
    inconclusive = sum(isinstance(result, Inconclusive) for result in results)
    parts = [
        f"{findings} finding{'' if findings == 1 else 's'}",
        f"{passed} rule{'' if passed == 1 else 's'} passed",
    ]
    if inconclusive:
        parts.append(f"{inconclusive} inconclusive")
    codes: dict[str, list[str]] = {}
    for result in results if explained is None else explained:
        if isinstance(result, Inconclusive):
            codes.setdefault(result.reason, []).append(result.code)
    reasons = [f"   - {', '.join(named)}: {reason}" for reason, named in codes.items()]
    return [", ".join(parts) + (":" if reasons else "."), *reasons]


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """As documented in schema/findings.json."""
    return {
        "findings": [result.as_dict() for result in results if isinstance(result, Finding)],
        "pass": [result.code for result in results if isinstance(result, Pass)],
        "inconclusive": [
            {"code": result.code, "reason": result.reason} for result in results if isinstance(result, Inconclusive)
        ],
    }
