"""Requests per second over time, or by round of a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netprobe.render.figures.over_time import requests
from netprobe.render.figures.theme import figure
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.render.figures.timeline import time_axis_of
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.load.rounds import RoundValues
    from netprobe.run.model import Run


def draw(context: RunContext, rounds: list[RoundValues]) -> go.Figure:
    """By interval, as the server read the requests; else by round, as the load generator counted them."""
    if context.run.tables.get("intervals"):
        axis = time_axis_of(context.run)
        rows = list(requests(context.run, axis))
        if rows:
            return draw_rows(axis, rows, "Requests per second over time")
    measured = served(context.run) or [values for values in rounds if not values.is_time]
    if not measured and context.requests:
        raise MissingDataError("only the total number of requests is known, not the throughput over time")
    if not measured:
        raise MissingDataError("the number of requests is unknown: record the probe locality, or use netprobe bench")
    return by_round(measured, "Throughput by round of the benchmark")


def served(run: Run) -> list[RoundValues]:
    """Requests per second of each round of a benchmark; empty if the Run has no benchmark."""
    from netprobe.load.rounds import RoundValues

    if "load_rounds" not in run.tables:
        return []
    rates = (requests / seconds for requests, seconds in run.columns("load_rounds").rows("requests", "duration_s"))
    return [RoundValues("requests/s", "integer", tuple(rates))]


def by_round(measured: list[RoundValues], alt: str) -> go.Figure:
    """A point per round, for each quantity that was measured."""
    import plotly.graph_objects as go

    drawn = figure(260)
    time = measured[0].is_time
    for quantity in measured:
        values = np.asarray(quantity.values) * (1000.0 if time else 1.0)
        places = list(range(1, len(values) + 1))
        name = label(quantity.name)
        drawn.add_trace(
            go.Scatter(
                x=places, y=values, mode="lines+markers", name=name, line={"width": 1, "dash": "dot"},
                hovertemplate="round %{x}: %{y:,.4~g}" + (" ms" if time else "") + "<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    drawn.update_layout(
        xaxis={"title": {"text": "round"}, "dtick": max(1, len(measured[0].values) // 12), "showgrid": False},
        yaxis={"type": "log", "title": {"text": "milliseconds"}}
        if time
        else {"rangemode": "tozero", "title": {"text": "requests per second"}},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        showlegend=True,
        meta={"alt": alt},
    )
    return drawn
