"""Findings as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netprobe.rules.finding import CannotTell, Clear, Finding, Judgement

_WORDS = {1: "note", 2: "minor", 3: "MAJOR"}


def finding_lines(number: int, finding: Finding) -> list[str]:
    """A finding as sentences, the claim first."""
    lines = [f"{number}. {_WORDS[finding.severity]}  {finding.code}: {finding.claim}"]
    lines += [f"   - {one.text}" for one in finding.evidence]
    lines += [f"   Why: {finding.why}", f"   Do: {finding.remedy}", f"   More: netprobe explain {finding.code}"]
    return lines


def summary(judgements: Sequence[Judgement]) -> str:
    """One line: how many findings, and how much was looked at."""
    found = [one for one in judgements if isinstance(one, Finding)]
    clear = sum(isinstance(one, Clear) for one in judgements)
    unknown = [one.code for one in judgements if isinstance(one, CannotTell)]
    parts = [
        f"{len(found)} finding{'' if len(found) == 1 else 's'}",
        f"{clear} rule{'' if clear == 1 else 's'} found nothing",
    ]
    if unknown:
        parts.append(f"{len(unknown)} cannot tell ({', '.join(unknown)})")
    return ", ".join(parts) + "."


def as_json(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """As documented in schema/findings.json."""
    return {
        "findings": [one.as_dict() for one in judgements if isinstance(one, Finding)],
        "clear": [one.code for one in judgements if isinstance(one, Clear)],
        "cannot_tell": [{"code": one.code, "reason": one.reason} for one in judgements if isinstance(one, CannotTell)],
    }
