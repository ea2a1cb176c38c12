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
from netprobe.rules.facts import Facts
from netprobe.rules.finding import CannotTell, Finding, Judgement
from netprobe.rules.registry import judge
from netprobe.run.model import Run


def render(run: Run, title: str = "") -> bytes:
    """The page as UTF-8."""
    facts, charts = Facts(run), Charts()
    judgements = judge(run)
    shown = list(sections(Source(facts, RunFigures(run, facts), charts)))
    shown.append(
        Section("missing", "What could not be measured", missing(run, _lacking(judgements, charts)), "Not measured")
    )
    shown.append(Section("taken", "How the data was taken", how(run), "How taken"))
    return page(title or f"{whom(run)} – netprobe", _top(run, facts, judgements, shown, title), shown, charts)


def _lacking(judgements: Sequence[Judgement], charts: Charts) -> list[str]:
    rules = [f"cannot tell {one.code}: {one.reason}" for one in judgements if isinstance(one, CannotTell)]
    return [*charts.missing, *rules]


def _top(run: Run, facts: Facts, judgements: Sequence[Judgement], shown: Sequence[Section], title: str) -> Html:
    found = [one for one in judgements if isinstance(one, Finding)]
    return element(
        "header",
        element("h1", title or whom(run)),
        facts_line(run),
        element(
            "section",
            verdict(judgements),
            tiles(facts),
            cards(found, (one.anchor for one in shown)),
            rest(judgements),
            id="findings",
            aria_label="Verdict and findings",
        ),
    )
