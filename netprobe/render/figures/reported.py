"""Latencies as a load generator's report has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netprobe.render.figures.label import label
from netprobe.render.figures.theme import BLUE, GREY, figure
from netprobe.render.units import duration

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.run.model import Run

Latency = tuple[str, float, str]
"""`p99`, the time in ns, and the time as it was printed."""


def latencies(run: Run) -> list[Latency]:
    """Mean, percentiles and maximum, the shortest first; nothing where no report has any."""
    if "load_results" not in run.tables:
        return []
    rows = run.columns("load_results").rows("quantity", "statistic", "value", "unit", "text")
    found = {
        str(statistic): (str(statistic), float(value), str(text))
        for quantity, statistic, value, unit, text in rows
        if quantity == "latency" and unit == "ns" and (statistic in ("avg", "max") or str(statistic)[:1] == "p")
    }
    return sorted(found.values(), key=lambda one: one[1])


def draw(found: list[Latency]) -> go.Figure:
    """A dot for each."""
    import plotly.graph_objects as go

    drawn = figure(100 + 26 * len(found))
    names = [{"avg": "mean", "max": "longest"}.get(name, _percent(name)) for name, *_ in found]
    drawn.add_trace(
        go.Scatter(
            x=[value / 1e9 for _, value, _ in found], y=list(range(len(found))), mode="lines+markers",
            line={"color": GREY, "width": 1, "dash": "dot"}, marker={"color": BLUE, "size": 10}, name="latency",
            customdata=[[name, label(text)] for name, (*_, text) in zip(names, found, strict=True)],
            hovertemplate="%{customdata[0]}: <b>%{customdata[1]}</b><extra></extra>",
        )
    )  # fmt: skip
    drawn.update_layout(
        # Zero has no place on a logarithmic axis.
        xaxis={"type": "log" if found[0][1] > 0 else "linear", **_ticks(),
               "title": {"text": "latency of requests, as the load generator reported it"}},
        yaxis={"tickmode": "array", "tickvals": list(range(len(found))), "ticktext": names, "autorange": "reversed",
               "zeroline": False},
        meta={"alt": "Latency of requests, as the load generator reported it"},
    )  # fmt: skip
    return drawn


def _ticks() -> dict[str, Any]:
    """From 1 µs to 500 s, in words."""
    values = [step * 10.0**power for power in range(3, 12) for step in (1, 2, 5)]
    return {
        "tickmode": "array", "tickvals": [value / 1e9 for value in values],
        "ticktext": [duration(value) for value in values], "tickangle": 0,
    }  # fmt: skip


def _percent(name: str) -> str:
    return label(f"{name[1:]} % are shorter than")
