"""What the rules say of a Run, in the form in which comparisons take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netprobe.analysis.compare.findings import Judged
from netprobe.rules.facts import Facts
from netprobe.rules.finding import CannotTell, Finding
from netprobe.rules.registry import all_rules
from netprobe.run.model import Run

if TYPE_CHECKING:
    from flamegraph.profile import Profile


def judged(run: Run, profile: Profile | None = None) -> Judged:
    """Claims by code of what was found, and why the rest cannot be told. `profile`: the Run's, if read already."""
    facts = Facts(run)
    if profile is not None and profile.count:
        facts.profile = profile
    answers = [facts.ask(rule) for rule in all_rules()]
    return Judged(
        {one.code: one.claim for one in answers if isinstance(one, Finding)},
        {one.code: one.reason for one in answers if isinstance(one, CannotTell)},
    )
