"""The report of the scenario: one self-contained HTML file with a chart, tables, findings and flame graphs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.render.diff import change, confidence_interval, rate
from netprobe.render.figures.theme import BLUE, GREEN, ORANGE, TEAL, VIOLET, template
from netprobe.render.plotly_js import plotly_js
from netprobe.render.report.html import Html, element, folded, join, listed, table
from netprobe.render.safe import label
from netprobe.render.scenario import MeasuredStep, as_text, gain, gain_interval, latencies, verdict, with_margin
from netprobe.render.text import TextColumn, TextTable
from netprobe.run.description import HostInfo

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.rules.finding import Finding

_ASSETS = Path(__file__).parent
_CHANGES_SHOWN = 15
_CHART_HEIGHT = 1100
_EXPLANATIONS: tuple[tuple[str, str, Callable[[MeasuredStep], float | None], str], ...] = (
    ("p99, ms", VIOLET, lambda step: step.latency_us["p99"].value / 1000, ".2f"),
    ("calls/request", ORANGE, lambda step: step.calls_per_request, ".2f"),
    ("switches/s", TEAL, lambda step: step.switches_per_second, ".0f"),
    ("local, %", GREEN, lambda step: step.local_pct, ".1f"),
    ("polled, %", BLUE, lambda step: step.polled_pct, ".1f"),
    ("hits, %", GREEN, lambda step: step.hit_pct, ".2f"),
)
_GRAPH_HEIGHT = 640
_INTRODUCTION = (
    "Each step fixes the fault that netprobe found in the step before. Client and server share the CPUs of one "
    "machine, so the gains are valid for this machine, not for a server whose client runs elsewhere. The scenario "
    "shows that netprobe finds the right fault in each step, and that the fault is gone in the next step."
)


def page(steps: Sequence[MeasuredStep], flame_graphs: Mapping[int, tuple[str, str]], notes: Sequence[str]) -> str:
    """The whole page. `flame_graphs`: by step its flame graph and the differential flame graph, as HTML documents."""
    host = steps[0].context.run.info.host
    body = join(
        (
            element("h1", "Results of the scenario"),
            element("p", _INTRODUCTION),
            element("p", _machine(host), class_="soft"),
            listed(notes),
            element(
                "div", id="chart", role="img", aria_label="Throughput by step; the table below has the same numbers"
            ),
            table(as_text(steps, ()), "All steps; throughput and gain with 95 % confidence intervals"),
            table(latencies(steps), "Latency in the same rounds: means with 95 % confidence intervals"),
            *(_section(steps, step, flame_graphs.get(step.number, ("", ""))) for step in steps),
        )
    )
    chart = json.loads(_chart(steps).update_layout(template=None).to_json(validate=False))
    data = {"chart": chart, "templates": {scheme: template(scheme) for scheme in ("light", "dark")}}
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
    """JSON that cannot close the script element around it."""
    return json.dumps(value).replace("<", "\\u003c")


def _machine(host: HostInfo) -> str:
    known = (("kernel", host.kernel), ("CPUs", host.cpus_online), ("processor", host.cpu_model))
    return ", ".join(f"{name} {value}" for name, value in known if value)


def _section(steps: Sequence[MeasuredStep], step: MeasuredStep, flame_graphs: tuple[str, str]) -> Html:
    flame, difference = flame_graphs
    results = [f"{with_margin(step.throughput)} requests per second"]
    if step.gain_pct:
        results.append(f"{gain(step)} over step {step.base} ({gain_interval(step)})")
    if step.errors:
        results.append(f"{step.errors} requests failed")
    return element(
        "section",
        element("h2", f"{step.number} {step.name}"),
        element("p", step.change),
        element("p", ", ".join(results), class_="soft"),
        element("p", element("strong", verdict(steps, step))) if step.fixed else "",
        element("h3", "Findings"),
        listed(_finding(step, one) for one in step.findings) or element("p", "None."),
        _difference(step) if step.comparison else "",
        _framed("Flame graph", flame),
        _framed(f"Differential flame graph against step {step.base}", difference),
        id=f"step-{step.number}",
    )


def _finding(step: MeasuredStep, one: Finding) -> Html:
    marked = element("mark", one.code) if one.code == step.fault else element("code", one.code)
    return element("span", marked, f" {one.summary} ", element("em", one.fix))


def _difference(step: MeasuredStep) -> Html:
    assert step.comparison is not None
    statuses = [
        element("span", element("code", one.code), f" {one.status}: {one.message}") for one in step.comparison.findings
    ]
    return join(
        (
            element("h3", f"Changes from step {step.base}"),
            listed(statuses),
            folded("Changed numbers", table(_changes(step.comparison), "Changed numbers, the most significant first")),
        )
    )


def _changes(comparison: Comparison) -> TextTable:
    rows = [row for row in comparison.changed if row.group != "functions"][:_CHANGES_SHOWN]
    columns = [TextColumn("METRIC"), TextColumn("STEP BEFORE", True), TextColumn("THIS STEP", True), TextColumn("PER"),
               TextColumn("CHANGE"), TextColumn("95 % CI")]  # fmt: skip
    cells = [
        [
            row.name,
            rate(row.rate_a, row.unit),
            rate(row.rate_b, row.unit),
            row.per,
            change(row),
            confidence_interval(row),
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


def _framed(title: str, content: str) -> Html:
    """A document in a sandboxed frame, rendered when it is opened: it can run scripts, but not access this page."""
    if not content:
        return Html("")
    from flamegraph.writers.html_page import framed

    return folded(title, Html(framed(content, _GRAPH_HEIGHT).replace("<iframe ", '<iframe loading="lazy" ', 1)))


# ---- The chart ----


def _chart(steps: Sequence[MeasuredStep]) -> go.Figure:
    """Throughput with its confidence interval, and the counts that explain it; one column per step."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(
        rows=1 + len(_EXPLANATIONS),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.035,
        row_heights=[0.4, *[0.6 / len(_EXPLANATIONS)] * len(_EXPLANATIONS)],
    )
    names = [label(f"{step.number} {step.name}") for step in steps]
    drawn.add_trace(_throughput(steps, names), row=1, col=1)
    drawn.update_yaxes(title_text="requests per second", rangemode="tozero", row=1, col=1)
    for row, (title, color, value, form) in enumerate(_EXPLANATIONS, 2):
        drawn.add_trace(_bars(names, [value(step) for step in steps], color, form), row=row, col=1)
        drawn.update_yaxes(title_text=title.replace(", ", "<br>"), rangemode="tozero", nticks=4, row=row, col=1)
    drawn.update_layout(
        template=template(), height=_CHART_HEIGHT, showlegend=False, margin={"l": 70, "r": 12, "t": 56, "b": 30}
    )
    return drawn


def _throughput(steps: Sequence[MeasuredStep], names: list[str]) -> Any:
    import plotly.graph_objects as go

    above = [(step.throughput.high or step.throughput.value) - step.throughput.value for step in steps]
    # plotly does not interpret templates in `customdata`.
    texts = [
        [label(step.change, 120), gain(step), gain_interval(step), label(verdict(steps, step) or "-", 120)]
        for step in steps
    ]  # fmt: skip
    return go.Bar(
        x=names,
        y=[step.throughput.value for step in steps],
        error_y={"type": "data", "array": above, "color": ORANGE, "thickness": 1.5},
        marker={"color": [BLUE if step.base is None or step.fixed else "#9aa4b1" for step in steps]},
        text=[f"{gain(step)}<br>{label(_fixed(steps, step))}" for step in steps],
        constraintext="none",
        textposition="outside",
        textfont={"size": 10},
        cliponaxis=False,
        customdata=texts,
        hovertemplate="%{y:,.0f} requests/s<br>%{customdata[0]}<br>gain %{customdata[1]} (%{customdata[2]})"
        "<br>%{customdata[3]}<extra></extra>",
    )


def _fixed(steps: Sequence[MeasuredStep], step: MeasuredStep) -> str:
    """The fault that was found in the base and is fixed in this step."""
    base = next((one for one in steps if one.number == step.base), None)
    return step.fixed if step.fixed and base and base.has(step.fixed) else ""


def _bars(names: list[str], values: list[float | None], color: str, form: str) -> Any:
    import plotly.graph_objects as go

    return go.Bar(
        x=names,
        y=values,
        marker={"color": color},
        text=["-" if value is None else f"{value:{form}}" for value in values],
        textposition="auto",
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
