"""Latencies: of requests as a load generator measured them, else of system calls and waits for a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from netprobe.render.figures.theme import BLUE, GREY, ORANGE, RED, figure
from netprobe.render.figures.throughput import by_round
from netprobe.render.safe import label
from netprobe.render.units import duration
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.load.rounds import RoundValues
    from netprobe.run.model import Run

_ROWS = 14
_HOVER = "<b>%{customdata}</b><br>%{fullData.name} than %{x:.3s}s<extra></extra>"
_SHARES = ((0.5, "half are shorter", BLUE), (0.9, "90 % are shorter", ORANGE), (0.99, "99 % are shorter", RED))

Times = tuple[str, int, Callable[[float], float | None]]
"""What was timed, how often, and its percentiles: share → ns."""

ReportedLatency = tuple[str, float, str]
"""Statistic (`p99`), time in ns, time as the report printed it."""


def draw(context: RunContext, rounds: list[RoundValues]) -> go.Figure:
    """By round of a benchmark, or from the load generator's report; else percentiles of calls and waits for a CPU."""
    times = [values for values in rounds if values.is_time]
    # Time per request is the inverse of throughput, no latency.
    if measured := [values for values in times if values.name.startswith("latency")] or times:
        return by_round(measured, "Latency by round of the benchmark")
    if reported := _reported(context.run):
        return _draw_reported(reported)
    rows = sorted(_times(context), key=lambda row: -row[1])
    if not rows:
        raise MissingDataError(
            "no latency was recorded: netprobe bench records the latency of requests, netprobe syscalls -L that of "
            "system calls, netprobe switches -L the waits for a CPU"
        )
    return _draw_percentiles(rows[:_ROWS], len(rows))


# ---- Percentiles of calls and waits ----


def _times(context: RunContext) -> Iterator[Times]:
    tables = context.run.tables
    if "syscall_latency" in tables and "syscalls" in tables:
        for call in context.calls:
            if call.latency.calls:
                yield label(call.syscall), call.latency.calls, call.latency.percentile_ns
    if "run_queue" in tables and "switches" in tables:
        for role in context.switches:
            if waits := role.waits_ns.total():
                yield f"{label(role.thread)} waits for a CPU", waits, role.wait_percentile_ns


def _draw_percentiles(rows: list[Times], known: int) -> go.Figure:
    import plotly.graph_objects as go

    some = f"; the {len(rows)} most frequent of {known}" if known > len(rows) else ""

    drawn = figure(120 + 28 * len(rows))
    names = [name for name, _, _ in rows]
    found = [[(percentile(share) or 0) / 1e9 or None for _, _, percentile in rows] for share, _, _ in _SHARES]
    for place in range(len(rows)):
        span = [values[place] for values in found]
        drawn.add_trace(
            go.Scatter(x=span, y=[place] * 3, mode="lines", line={"color": GREY, "width": 2}, hoverinfo="skip",
                       showlegend=False)
        )  # fmt: skip
    for (_, name, color), values in zip(_SHARES, found, strict=True):
        drawn.add_trace(
            go.Scatter(
                x=values, y=list(range(len(rows))), mode="markers", name=name, marker={"color": color, "size": 10},
                customdata=names, hovertemplate=_HOVER,
            )
        )  # fmt: skip
    drawn.update_layout(
        xaxis={"type": "log", "tickformat": ".3~s", "ticksuffix": "s", "title": {"text": f"time{some}"}},
        yaxis={"tickmode": "array", "tickvals": list(range(len(rows))), "ticktext": names, "autorange": "reversed",
               "showgrid": False, "zeroline": False},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        meta={"alt": "Duration of system calls and waits for a CPU"},
    )  # fmt: skip
    return drawn


# ---- The load generator's report ----


def _reported(run: Run) -> list[ReportedLatency]:
    """Mean, percentiles and maximum, the shortest first; empty if no report has any."""
    if "load_results" not in run.tables:
        return []
    rows = run.columns("load_results").rows("quantity", "statistic", "value", "unit", "text")
    found = {
        str(statistic): (str(statistic), float(value), str(text))
        for quantity, statistic, value, unit, text in rows
        if quantity == "latency" and unit == "ns" and (statistic in ("avg", "max") or str(statistic)[:1] == "p")
    }
    return sorted(found.values(), key=lambda latency: latency[1])


def _draw_reported(found: list[ReportedLatency]) -> go.Figure:
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
        # A logarithmic axis has no zero.
        xaxis={"type": "log" if found[0][1] > 0 else "linear", **_ticks(),
               "title": {"text": "latency of requests, as the load generator reported it"}},
        yaxis={"tickmode": "array", "tickvals": list(range(len(found))), "ticktext": names, "autorange": "reversed",
               "zeroline": False},
        meta={"alt": "Latency of requests, as the load generator reported it"},
    )  # fmt: skip
    return drawn


def _ticks() -> dict[str, Any]:
    """Tick labels with units, from 1 µs to 500 s."""
    values = [step * 10.0**power for power in range(3, 12) for step in (1, 2, 5)]
    return {
        "tickmode": "array", "tickvals": [value / 1e9 for value in values],
        "ticktext": [duration(value) for value in values], "tickangle": 0,
    }  # fmt: skip


def _percent(name: str) -> str:
    return label(f"{name[1:]} % are shorter than")
