"""How long things took: latencies of a benchmark, time in system calls, waits for a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netprobe.render.figures import reported
from netprobe.render.figures.label import label
from netprobe.render.figures.theme import BLUE, GREY, ORANGE, RED, figure
from netprobe.render.figures.throughput import by_round
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.run.rounds import Rounds

_ROWS = 14
_HOVER = "<b>%{customdata}</b><br>%{fullData.name} than %{x:.3s}s<extra></extra>"
_SHARES = ((0.5, "half are shorter", BLUE), (0.9, "90 % are shorter", ORANGE), (0.99, "99 % are shorter", RED))

Times = tuple[str, int, Callable[[float], float | None]]
"""What took time, how often, and the time below which a share of them lies, in ns."""


def draw(context: RunContext, rounds: list[Rounds]) -> go.Figure:
    """As the load generator measured it, by round or in its report; else percentiles of calls and waits for a CPU."""
    times = [one for one in rounds if one.is_time]
    # Time per request is throughput the other way round.
    if measured := [one for one in times if one.name.startswith("latency")] or times:
        return by_round(measured, "Latency by round of the benchmark")
    if told := reported.latencies(context.run):
        return reported.draw(told)
    rows = sorted(_times(context), key=lambda row: -row[1])
    if not rows:
        raise MissingDataError(
            "no latency was recorded: netprobe bench records that of requests, netprobe syscalls -L that of calls, "
            "netprobe switches -L that of waits for a CPU"
        )
    return _percentiles(rows[:_ROWS], len(rows))


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


def _percentiles(rows: list[Times], known: int) -> go.Figure:
    import plotly.graph_objects as go

    some = f"; the {len(rows)} most frequent of {known}" if known > len(rows) else ""

    drawn = figure(120 + 28 * len(rows))
    names = [name for name, _, _ in rows]
    found = [[(at(share) or 0) / 1e9 or None for _, _, at in rows] for share, _, _ in _SHARES]
    for place in range(len(rows)):
        span = [values[place] for values in found]
        drawn.add_trace(
            go.Scatter(x=span, y=[place] * 3, mode="lines", line={"color": GREY, "width": 2}, hoverinfo="skip",
                       showlegend=False)
        )  # fmt: skip
    for (_, words, color), values in zip(_SHARES, found, strict=True):
        drawn.add_trace(
            go.Scatter(
                x=values, y=list(range(len(rows))), mode="markers", name=words, marker={"color": color, "size": 10},
                customdata=names, hovertemplate=_HOVER,
            )
        )  # fmt: skip
    drawn.update_layout(
        xaxis={"type": "log", "tickformat": ".3~s", "ticksuffix": "s", "title": {"text": f"time{some}"}},
        yaxis={"tickmode": "array", "tickvals": list(range(len(rows))), "ticktext": names, "autorange": "reversed",
               "showgrid": False, "zeroline": False},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        meta={"alt": "Times that calls and waits took"},
    )  # fmt: skip
    return drawn
