"""A Run and a comparison as HTML for notebooks: text and tables, no script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from netprobe.analysis.compare.comparison import Comparison
from netprobe.render import diff as diff_text
from netprobe.render.report.comparison_page import sentence
from netprobe.render.report.findings import cards, rest
from netprobe.render.report.html import Html, element, folded, join, listed, table
from netprobe.render.report.run_page import details_line, target_name, tiles, verdict
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run

_ROWS = 15


def run_html(run: Run) -> str:
    """Target, verdict, the most important numbers, and the findings."""
    context = context_of(run)
    results = evaluate(context)
    found = [result for result in results if isinstance(result, Finding)]
    return _framed(
        element("p", target_name(run), class_="name"),
        details_line(run),
        verdict(results),
        tiles(context),
        cards(found, ()),
        rest(results),
        folded("Tables", element("p", ", ".join(sorted(run.tables)))),
    )


def comparison_html(comparison: Comparison) -> str:
    """Both sides, comparability warnings, changes, and findings."""
    changed = [row for row in comparison.changed if row.group != "functions"]
    warnings = [warning.message for warning in comparison.comparability_warnings]
    return _framed(
        element("div", element("p", sentence(comparison), class_="sentence"), class_="verdict"),
        listed(diff_text.heading(comparison)[:2]),
        folded("Comparability warnings", listed(warnings)) if warnings else "",
        table(diff_text.changes_as_text(changed, _ROWS), "Changes") if changed else "",
        listed((*diff_text.findings_as_lines(comparison), *diff_text.renamed_as_lines(comparison))),
        join(element("p", line, class_="soft") for line in (*diff_text.within_noise(comparison), *comparison.skipped)),
    )


def _framed(*parts: object) -> str:
    return element("div", element("style", Html(_style())), *parts, class_="netprobe")


@cache
def _style() -> str:
    return (files("netprobe.render.notebook") / "display.css").read_text("utf-8")
