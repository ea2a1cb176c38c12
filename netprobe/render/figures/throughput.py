"""Requests a second over time, and by round of a benchmark where there was one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netprobe.render.figures.label import label
from netprobe.render.figures.over_time import requests
from netprobe.render.figures.theme import figure
from netprobe.render.figures.timeline import clock_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.run.model import Run
    from netprobe.run.rounds import Rounds


def draw(context: RunContext, rounds: list[Rounds]) -> go.Figure:
    """By time interval, as the server read them; without that, by round as the load generator saw them."""
    if context.run.tables.get("intervals"):
        clock = clock_of(context.run)
        rows = list(requests(context.run, clock))
        if rows:
            return draw_rows(clock, rows, "Requests a second over time")
    measured = served(context.run) or [one for one in rounds if not one.is_time]
    if not measured and context.requests:
        raise MissingDataError(
            "how the throughput went over time is not known, only how many requests there were in all"
        )
    if not measured:
        raise MissingDataError(
            "how many requests were served is not known: record the probe locality, or netprobe bench"
        )
    return by_round(measured, "Throughput by round of the benchmark")


def served(run: Run) -> list[Rounds]:
    """Requests a second of each round of a benchmark; nothing where there was none."""
    from netprobe.run.rounds import Rounds

    if "load_rounds" not in run.tables:
        return []
    rates = (requests / seconds for requests, seconds in run.columns("load_rounds").rows("requests", "duration_s"))
    return [Rounds("requests/s", "integer", tuple(rates))]


def by_round(measured: list[Rounds], alt: str) -> go.Figure:
    """A dot a round, and the mean as a line, for each thing that was measured."""
    import plotly.graph_objects as go

    drawn = figure(260)
    time = measured[0].is_time
    for one in measured:
        values = np.asarray(one.values) * (1000.0 if time else 1.0)
        places = list(range(1, len(values) + 1))
        name = label(one.name)
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
        else {"rangemode": "tozero", "title": {"text": "requests a second"}},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        showlegend=True,
        meta={"alt": alt},
    )
    return drawn
