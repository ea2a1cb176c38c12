"""The result of a rule: a finding, a pass, or inconclusive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from netprobe.rules.documentation import Documentation


class Severity(IntEnum):
    """The estimated cost in this Run, by class."""

    NOTE = 1
    """Below 0.5 % of the server's CPU time, or not measurable."""
    MINOR = 2
    """Below 3 %."""
    MAJOR = 3
    """3 % and more."""

    @classmethod
    def of(cls, cost_pct: float) -> Severity:
        """The severity of a cost in percent of the server's CPU time."""
        if cost_pct < 0.5:
            return cls.NOTE
        return cls.MINOR if cost_pct < 3 else cls.MAJOR


@dataclass(frozen=True)
class Evidence:
    """A measured fact. `text` states the number with its unit."""

    text: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Finding:
    """A detected fault, with evidence and fix."""

    code: str
    severity: Severity
    summary: str
    """One sentence."""
    evidence: tuple[Evidence, ...]
    documentation: Documentation
    """The documentation of the rule: source of `why_it_matters`, `fix` and `source`."""
    cost_pct: float = 0.0
    """Estimated cost in percent; ranks findings of the same severity."""
    of: Literal["CPU time", "thread time"] = "CPU time"
    """What the cost is a part of: the CPU time of the server, or the time that its threads spend on requests."""
    specific_fix: str = ""
    """The fix with the values of this Run, in addition to the general one: `Pin reactor-1 to CPU 0.`"""
    replaces_fix: bool = False
    """Whether the specific fix stands alone, since the general one does not apply to this Run."""

    @property
    def why_it_matters(self) -> str:
        """A sentence or two."""
        return self.documentation.why_it_matters

    @property
    def fix(self) -> str:
        """The setting or call that removes the fault, followed by the values of this Run."""
        return self.specific_fix if self.replaces_fix else f"{self.documentation.fix} {self.specific_fix}".rstrip()

    @property
    def source(self) -> str:
        """Kernel documentation, function, manual page or paper."""
        return self.documentation.source

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "code": self.code,
            "severity": self.severity.name.lower(),
            "summary": self.summary,
            "evidence": [{"text": fact.text, "value": fact.value, "unit": fact.unit or None} for fact in self.evidence],
            "why_it_matters": self.why_it_matters,
            "fix": self.fix,
            "source": self.source,
            "estimated_cost_pct": self.cost_pct,
        }


@dataclass(frozen=True)
class Pass:
    """The rule had the data that it needs and detected no fault."""

    code: str
    reason: str = ""


@dataclass(frozen=True)
class Inconclusive:
    """The rule lacks data. `reason` names the data and how to record it."""

    code: str
    reason: str


Result = Finding | Pass | Inconclusive
