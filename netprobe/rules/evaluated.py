"""What the rules say of a Run, in the form in which comparisons take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netprobe.analysis.compare.change import RuleResults
from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Inconclusive
from netprobe.rules.registry import all_rules
from netprobe.run.model import Run

if TYPE_CHECKING:
    from flamegraph.profile import Profile


def evaluated(run: Run, profile: Profile | None = None) -> RuleResults:
    """Claims by code of what was found, and why the rest cannot be told. `profile`: the Run's, if read already."""
    context = RunContext(run)
    if profile is not None and profile.count:
        context.profile = profile
    answers = [context.ask(rule) for rule in all_rules()]
    return RuleResults(
        {one.code: one.summary for one in answers if isinstance(one, Finding)},
        {one.code: one.reason for one in answers if isinstance(one, Inconclusive)},
    )
