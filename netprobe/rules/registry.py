"""Discovery of the rules, and the evaluation of all of them."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from netprobe import rules
from netprobe.analysis.compare.change import RuleResults
from netprobe.rules.context import Rule, RunContext, context_of
from netprobe.rules.finding import Finding, Inconclusive, Result
from netprobe.run.model import Run

if TYPE_CHECKING:
    from flamegraph.profile import Profile


def all_rules() -> list[Rule]:
    """Every rule, sorted by code. Raises `ValueError` if two modules have the same code, and names both."""
    owners: dict[str, str] = {}
    found: dict[str, Rule] = {}
    for name, rule in _modules():
        if rule.CODE in found:
            raise ValueError(f"the code {rule.CODE} of {name} belongs to {owners[rule.CODE]}")
        owners[rule.CODE], found[rule.CODE] = name, rule
    return [found[code] for code in sorted(found)]


def _modules() -> Iterator[tuple[str, Rule]]:
    for module in pkgutil.iter_modules(rules.__path__):
        loaded = import_module(f"netprobe.rules.{module.name}")
        if hasattr(loaded, "CODE"):
            yield module.name, loaded


def evaluate(context: RunContext) -> list[Result]:
    """The result of every rule: findings by descending severity and cost, then inconclusive results, then passes."""
    return sorted((context.result(rule) for rule in all_rules()), key=_rank)


def findings(context: RunContext) -> list[Finding]:
    """The findings, by descending severity and cost."""
    return [result for result in evaluate(context) if isinstance(result, Finding)]


def _rank(result: Result) -> tuple[int, float, str]:
    if isinstance(result, Finding):
        return (-int(result.severity), -result.cost_pct, result.code)
    return (1 if isinstance(result, Inconclusive) else 2, 0.0, result.code)


def rule_results(run: Run, profile: Profile | None = None) -> RuleResults:
    """The results in the form that comparisons use. `profile`: the profile of the Run, if it has been read already."""
    context = context_of(run)
    if profile is not None and profile.count:
        vars(context).setdefault("profile", profile)
    results = evaluate(context)
    return RuleResults(
        {result.code: result.summary for result in results if isinstance(result, Finding)},
        {result.code: result.reason for result in results if isinstance(result, Inconclusive)},
    )
