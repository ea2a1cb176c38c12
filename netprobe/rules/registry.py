"""Finds the rules, and asks them all."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from netprobe import rules
from netprobe.rules.context import Rule, RunContext
from netprobe.rules.finding import Finding, Inconclusive, Result
from netprobe.run.model import Run


def all_rules() -> list[Rule]:
    """Every rule, by code. Raises if two have the same code, naming both files."""
    found: dict[str, Rule] = {}
    for name, rule in _modules():
        if rule.CODE in found:
            raise ValueError(f"the code {rule.CODE} of {name} belongs to {found[rule.CODE]}")
        found[rule.CODE] = rule
    return [found[code] for code in sorted(found)]


def _modules() -> Iterator[tuple[str, Rule]]:
    for module in pkgutil.iter_modules(rules.__path__):
        loaded = import_module(f"netprobe.rules.{module.name}")
        if hasattr(loaded, "CODE"):
            yield module.name, loaded


def evaluate(run: Run) -> list[Result]:
    """What every rule says of a Run: findings first, the most costly first; then what is clear or cannot be told."""
    context = RunContext(run)
    return sorted((context.ask(rule) for rule in all_rules()), key=_rank)


def findings(run: Run) -> list[Finding]:
    """Only the findings, the most costly first."""
    return [one for one in evaluate(run) if isinstance(one, Finding)]


def _rank(one: Result) -> tuple[int, float, str]:
    if isinstance(one, Finding):
        return (-int(one.severity), -one.cost_pct, one.code)
    return (1 if isinstance(one, Inconclusive) else 2, 0.0, one.code)
