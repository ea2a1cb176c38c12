"""The page of one Run."""

from __future__ import annotations

from collections.abc import Sequence

from netprobe.render.figures.of_run import RunFigures
from netprobe.render.report.findings import cards, rest
from netprobe.render.report.html import Html, element
from netprobe.render.report.page import page
from netprobe.render.report.parts import Charts, Section
from netprobe.render.report.run_sections import Source, sections
from netprobe.render.report.taken import how, missing
from netprobe.render.report.top import facts_line, tiles, verdict, whom
from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Inconclusive, Result
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run


def render(run: Run, title: str = "") -> bytes:
    """The page as UTF-8."""
    context, charts = RunContext(run), Charts()
    results = evaluate(run)
    shown = list(sections(Source(context, RunFigures(run, context), charts)))
    shown.append(
        Section("missing", "What could not be measured", missing(run, _lacking(results, charts)), "Not measured")
    )
    shown.append(Section("taken", "How the data was taken", how(run), "How taken"))
    return page(title or f"{whom(run)} – netprobe", _top(run, context, results, shown, title), shown, charts)


def _lacking(results: Sequence[Result], charts: Charts) -> list[str]:
    rules = [f"inconclusive {one.code}: {one.reason}" for one in results if isinstance(one, Inconclusive)]
    return [*charts.missing, *rules]


def _top(run: Run, context: RunContext, results: Sequence[Result], shown: Sequence[Section], title: str) -> Html:
    found = [one for one in results if isinstance(one, Finding)]
    return element(
        "header",
        element("h1", title or whom(run)),
        facts_line(run),
        element(
            "section",
            verdict(results),
            tiles(context),
            cards(found, (one.anchor for one in shown)),
            rest(results),
            id="findings",
            aria_label="Verdict and findings",
        ),
    )
