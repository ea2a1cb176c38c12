"""The scenario's report: one HTML file that needs nothing else, with its chart, tables, findings and flame graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.render.diff import amount, change, interval
from netprobe.render.figures.theme import template
from netprobe.render.plotly_js import plotly_js
from netprobe.render.report.html import Html, element, folded, join, listed, table
from netprobe.render.scenario import MeasuredStep, as_text, gain, gain_interval, latencies, verdict, with_margin
from netprobe.render.text import Column, TextTable

if TYPE_CHECKING:
    from netprobe.analysis.compare.comparison import Comparison

_ASSETS = Path(__file__).parent
_CHANGES = 15
_HEIGHT = 640
_CLAIM = (
    "Each step fixes the fault that netprobe named on the step below. Client and server share the CPUs of one machine, "
    "so gains are what this machine shows, not what a server with a client of its own would gain; the claim is that "
    "the right fault is named on each step, and gone on the next."
)


def page(steps: Sequence[MeasuredStep], pictures: Mapping[int, tuple[str, str]], notes: Sequence[str]) -> str:
    """The whole page. `pictures`: by step its flame graph and the flame graph of the difference, as pages."""
    from netprobe.render.scenario_chart import draw

    host = steps[0].context.run.info["host"]
    body = join(
        (
            element("h1", "The scenario, as measured"),
            element("p", _CLAIM),
            element("p", _machine(host), class_="soft"),
            listed(notes),
            element("div", id="chart", role="img", aria_label="Throughput by step; the same as a table below"),
            table(as_text(steps, ()), "Every step; throughput and gain with 95 % intervals"),
            table(latencies(steps), "Latency of the same rounds, means with 95 % intervals"),
            *(_section(steps, step, pictures.get(step.number, ("", ""))) for step in steps),
        )
    )
    chart = json.loads(draw(steps).update_layout(template=None).to_json(validate=False))
    data = {"chart": chart, "looks": {look: template(look) for look in ("light", "dark")}}
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>netprobe lab scenario</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_asset('scenario.css')}</style></head><body><main>{body}</main>",
            f"<script>{plotly_js()}</script>",
            f'<script type="application/json" id="data">{_data(data)}</script>',
            f"<script>{_asset('scenario.js')}</script></body></html>\n",
        )
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text()


def _data(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _machine(host: Mapping[str, Any]) -> str:
    known = (("kernel", "kernel"), ("CPUs", "cpus_online"), ("processor", "cpu_model"))
    return ", ".join(f"{words} {host[name]}" for words, name in known if host.get(name))


def _section(steps: Sequence[MeasuredStep], step: MeasuredStep, pictures: tuple[str, str]) -> Html:
    flame, difference = pictures
    context = [f"{with_margin(step.throughput)} requests a second"]
    if step.gain_pct:
        context.append(f"{gain(step)} over step {step.below} ({gain_interval(step)})")
    if step.errors:
        context.append(f"{step.errors} requests failed")
    return element(
        "section",
        element("h2", f"{step.number} {step.name}"),
        element("p", step.words),
        element("p", ", ".join(context), class_="soft"),
        element("p", element("strong", verdict(steps, step))) if step.fixed else "",
        element("h3", "Findings here"),
        listed(_finding(step, one) for one in step.findings) or element("p", "None."),
        _difference(step) if step.comparison else "",
        _picture("Flame graph", flame),
        _picture(f"Flame graph of the difference from step {step.below}", difference),
        id=f"step-{step.number}",
    )


def _finding(step: MeasuredStep, one: Any) -> Html:
    marked = element("mark", one.code) if one.code == step.fault else element("code", one.code)
    return element("span", marked, f" {one.summary} ", element("em", one.fix))


def _difference(step: MeasuredStep) -> Html:
    assert step.comparison is not None
    became = [
        element("span", element("code", one.code), f" {one.became}: {one.words}") for one in step.comparison.findings
    ]
    return join(
        (
            element("h3", f"What changed from step {step.below}"),
            listed(became),
            folded("Numbers that changed", table(_changes(step.comparison), "Numbers that changed, clearest first")),
        )
    )


def _changes(comparison: Comparison) -> TextTable:
    rows = [row for row in comparison.changed if row.group != "functions"][:_CHANGES]
    columns = [Column("WHAT"), Column("BELOW", True), Column("HERE", True), Column("PER"), Column("CHANGE"),
               Column("AT 95 %")]  # fmt: skip
    cells = [
        [row.name, amount(row.rate_a, row.unit), amount(row.rate_b, row.unit), row.per, change(row), interval(row)]
        for row in rows
    ]
    return TextTable(columns, cells)


def _picture(title: str, content: str) -> Html:
    """A page of its own inside this one, drawn when it is opened; it may run its script and reach nothing."""
    if not content:
        return Html("")
    from flamegraph.writers.page import framed

    return folded(title, Html(framed(content, _HEIGHT).replace("<iframe ", '<iframe loading="lazy" ', 1)))
