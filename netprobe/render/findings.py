"""Findings as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netprobe.rules.finding import Finding, Inconclusive, Pass, Result

_WORDS = {1: "note", 2: "minor", 3: "MAJOR"}


def finding_lines(number: int, finding: Finding) -> list[str]:
    """A finding as sentences, the claim first."""
    lines = [f"{number}. {_WORDS[finding.severity]}  {finding.code}: {finding.summary}"]
    lines += [f"   - {one.text}" for one in finding.evidence]
    lines += [f"   Why: {finding.why}", f"   Do: {finding.fix}", f"   More: netprobe explain {finding.code}"]
    return lines


def summary(results: Sequence[Result]) -> str:
    """One line: how many findings, and how much was looked at."""
    found = [one for one in results if isinstance(one, Finding)]
    clear = sum(isinstance(one, Pass) for one in results)
    unknown = [one.code for one in results if isinstance(one, Inconclusive)]
    parts = [
        f"{len(found)} finding{'' if len(found) == 1 else 's'}",
        f"{clear} rule{'' if clear == 1 else 's'} found nothing",
    ]
    if unknown:
        parts.append(f"{len(unknown)} inconclusive ({', '.join(unknown)})")
    return ", ".join(parts) + "."


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """As documented in schema/findings.json."""
    return {
        "findings": [one.as_dict() for one in results if isinstance(one, Finding)],
        "pass": [one.code for one in results if isinstance(one, Pass)],
        "inconclusive": [{"code": one.code, "reason": one.reason} for one in results if isinstance(one, Inconclusive)],
    }
