"""Discovery of the rules, and the evaluation of all of them."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from netprobe import rules
from netprobe.analysis.compare.change import RuleResults
from netprobe.analysis.tcp_info import tcp_totals
from netprobe.rules.context import MissingDataError, Rule, RunContext, context_of
from netprobe.rules.finding import Finding, Inconclusive, Result, Severity
from netprobe.rules.lock_contention import contended_ns
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
    """The result of every rule: findings by descending severity and cost, then inconclusive results, then passes.

    Costs become comparable: where threads are blocked for a part of the time that they spend on requests, CPU time is
    only the other part of it, so the costs in percent of CPU time are scaled to that part.
    """
    results = [context.result(rule) for rule in all_rules()]
    share = _cpu_share(context) if any(isinstance(result, Finding) for result in results) else 1.0
    return sorted((_scaled(result, share) for result in results), key=_rank)


def _cpu_share(context: RunContext) -> float:
    """Share of the time spent on requests in which the serving threads run or are runnable; 1 where it is not known."""
    try:
        serving = context.serving_time
    except MissingDataError:
        return 1.0
    request_ns = serving.request_ns + contended_ns(context)
    totals = tcp_totals(context.run.tables, accepted=True)
    if totals.waits_for_ack:
        request_ns += totals.busy_ns
    return serving.busy_ns / request_ns if request_ns else 1.0


def _scaled(result: Result, share: float) -> Result:
    if not isinstance(result, Finding) or result.of != "CPU time" or share == 1.0:
        return result
    cost = result.cost_pct * share
    return replace(result, cost_pct=cost, severity=min(result.severity, Severity.of(cost)))


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
