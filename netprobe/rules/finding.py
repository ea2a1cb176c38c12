"""What a rule answers: a finding, clear, or inconclusive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """What it costs here, not what it cost elsewhere."""

    NOTE = 1
    """Worth knowing; costs little or nothing that could be measured."""
    MINOR = 2
    """Costs up to 3 % of what the server could do."""
    MAJOR = 3
    """Costs more than that."""

    @classmethod
    def of(cls, cost_pct: float) -> Severity:
        """The severity of something that takes this share of the server's CPU time, in percent."""
        if cost_pct < 0.5:
            return cls.NOTE
        return cls.MINOR if cost_pct < 3 else cls.MAJOR


@dataclass(frozen=True)
class Evidence:
    """A measured fact: `text` is a sentence's part that holds the number and its unit."""

    text: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, with what shows it and what to do about it."""

    code: str
    severity: Severity
    summary: str
    """One sentence."""
    evidence: tuple[Evidence, ...]
    why: str
    """Why it matters: a sentence or two."""
    fix: str
    """The actual setting or call."""
    source: str
    """Kernel document, commit or paper."""
    cost_pct: float = 0.0
    """Estimate of what it takes of the server's CPU time, in percent; ranks findings of the same severity."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "code": self.code,
            "severity": self.severity.name.lower(),
            "summary": self.summary,
            "evidence": [{"text": one.text, "value": one.value, "unit": one.unit or None} for one in self.evidence],
            "why": self.why,
            "fix": self.fix,
            "source": self.source,
            "estimated_cost_pct": self.cost_pct,
        }


@dataclass(frozen=True)
class Pass:
    """The rule had what it needed, and found nothing."""

    code: str
    words: str = ""


@dataclass(frozen=True)
class Inconclusive:
    """The rule lacks data: which, and how to get it."""

    code: str
    reason: str


Result = Finding | Pass | Inconclusive
