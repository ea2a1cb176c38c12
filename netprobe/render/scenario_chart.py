"""The scenario as a plotly figure: throughput by step with its interval, and what explains it below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from netprobe.render.figures.label import label
from netprobe.render.figures.theme import BLUE, GREEN, ORANGE, TEAL, VIOLET, template
from netprobe.render.scenario import MeasuredStep, gain, gain_interval, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 1100
"""Pixels."""
_BELOW: tuple[tuple[str, str, Callable[[MeasuredStep], float | None], str], ...] = (
    ("p99, ms", VIOLET, lambda step: step.latency_us["p99"].value / 1000, ".2f"),
    ("calls/request", ORANGE, lambda step: step.calls_per_request, ".2f"),
    ("switches/s", TEAL, lambda step: step.switches_per_second, ".0f"),
    ("local, %", GREEN, lambda step: step.local_pct, ".1f"),
    ("polled, %", BLUE, lambda step: step.polled_pct, ".1f"),
    ("hits, %", GREEN, lambda step: step.hit_pct, ".2f"),
)


def draw(steps: Sequence[MeasuredStep]) -> go.Figure:
    """One column a step."""
    from plotly.subplots import make_subplots

    drawn = make_subplots(
        rows=1 + len(_BELOW),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.035,
        row_heights=[0.4, *[0.6 / len(_BELOW)] * len(_BELOW)],
    )
    names = [label(f"{step.number} {step.name}") for step in steps]
    drawn.add_trace(_throughput(steps, names), row=1, col=1)
    drawn.update_yaxes(title_text="requests a second", rangemode="tozero", row=1, col=1)
    for row, (title, color, value, form) in enumerate(_BELOW, 2):
        drawn.add_trace(_small(names, [value(step) for step in steps], color, form), row=row, col=1)
        drawn.update_yaxes(title_text=title.replace(", ", "<br>"), rangemode="tozero", nticks=4, row=row, col=1)
    drawn.update_layout(
        template=template(), height=HEIGHT, showlegend=False, margin={"l": 70, "r": 12, "t": 56, "b": 30}
    )
    return drawn


def _throughput(steps: Sequence[MeasuredStep], names: list[str]) -> Any:
    import plotly.graph_objects as go

    above = [(step.throughput.high or step.throughput.value) - step.throughput.value for step in steps]
    # The texts of `customdata` are no templates: braces in them do nothing.
    texts = [
        [label(step.words, 120), gain(step), gain_interval(step), label(verdict(steps, step) or "-", 120)]
        for step in steps
    ]  # fmt: skip
    return go.Bar(
        x=names,
        y=[step.throughput.value for step in steps],
        error_y={"type": "data", "array": above, "color": ORANGE, "thickness": 1.5},
        marker={"color": [BLUE if step.below is None or step.fixed else "#9aa4b1" for step in steps]},
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
    """What was named on the step below and is fixed here."""
    before = next((one for one in steps if one.number == step.below), None)
    return step.fixed if step.fixed and before and before.has(step.fixed) else ""


def _small(names: list[str], values: list[float | None], color: str, form: str) -> Any:
    import plotly.graph_objects as go

    return go.Bar(
        x=names,
        y=values,
        marker={"color": color},
        text=["-" if value is None else f"{value:{form}}" for value in values],
        textposition="auto",
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
