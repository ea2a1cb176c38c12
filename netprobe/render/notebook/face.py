"""How a Run and a comparison look in a notebook: text and tables without any script."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from netprobe.analysis.compare.comparison import Comparison
from netprobe.render import diff as words
from netprobe.render.report.findings import cards, rest
from netprobe.render.report.html import Html, element, folded, join, listed, table
from netprobe.render.report.top import facts_line, tiles, verdict, whom
from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run

_ROWS = 15


def of_run(run: Run) -> str:
    """Whom, the verdict, the numbers that matter most, and the findings, each of which opens."""
    context, results = RunContext(run), evaluate(run)
    found = [one for one in results if isinstance(one, Finding)]
    return _framed(
        element("p", whom(run), class_="name"),
        facts_line(run),
        verdict(results),
        tiles(context),
        cards(found, ()),
        rest(results),
        folded("Tables", element("p", ", ".join(sorted(run.tables)))),
    )


def of_comparison(comparison: Comparison) -> str:
    """Both sides, what else differs, what changed, what that means."""
    from netprobe.render.report.compared import sentence

    counted = [row for row in comparison.changed if row.group != "functions"]
    return _framed(
        element("div", element("p", sentence(comparison), class_="sentence"), class_="verdict"),
        listed(words.heading(comparison)[:2]),
        folded("What else differs", listed(one.words for one in comparison.comparable))
        if comparison.comparable
        else "",
        table(words.changes_as_text(counted, _ROWS), "What changed") if counted else "",
        listed(words.meaning(comparison)),
        join(element("p", line, class_="soft") for line in (*words.unseen(comparison), *comparison.skipped)),
    )


def _framed(*parts: object) -> str:
    return element("div", element("style", Html(_style())), *parts, class_="netprobe")


@cache
def _style() -> str:
    return (files("netprobe.render.notebook") / "face.css").read_text("utf-8")
