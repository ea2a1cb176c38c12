"""Charts on one time axis: rows above each other, each with one or more lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netprobe.analysis.time_series import TimeAxis
from netprobe.render.figures.theme import SERIES, figure
from netprobe.rules.context import MissingDataError
from netprobe.run.model import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.time_series import Floats

_ROW, _GAP, _TOP, _BOTTOM = 118, 46, 34, 50


def time_axis_of(run: Run) -> TimeAxis:
    """The intervals of a Run; raises `MissingDataError` if it has none, or none of a known length."""
    table = run.tables.get("intervals")
    if table is None or not len(table):
        raise MissingDataError("the Run has no time intervals")
    start, duration = (np.asarray(table.columns[name], np.float64) for name in ("start_s", "duration_s"))
    if not np.isfinite(start + duration).all():
        raise MissingDataError("the length of the recording is unknown")
    return TimeAxis(start, duration)


@dataclass(frozen=True)
class Lane:
    """One line of a row: a label that is escaped for plotly, and a value for each interval."""

    label: str
    values: Floats
    color: str = ""
    dash: str = "solid"
    axis: TimeAxis | None = None
    """Time axis of another recording; None: that of the figure."""


@dataclass(frozen=True)
class Row:
    """Lanes that share a value axis. `stacked`: areas on top of each other."""

    title: str
    lanes: Sequence[Lane]
    stacked: bool = False
    suffix: str = ""
    small: bool = False
    """Values are about 1 and need no SI prefix."""
    value_axis: dict[str, Any] = field(default_factory=dict)


def draw(axis: TimeAxis, rows: Sequence[Row], alt: str) -> go.Figure:
    """Rows from top to bottom; the hover text of a time has the values of all rows."""
    height = _TOP + _BOTTOM + len(rows) * _ROW + (len(rows) - 1) * _GAP
    inner = height - _TOP - _BOTTOM
    drawn = figure(height)
    for number, row in enumerate(rows):
        top = 1 - number * (_ROW + _GAP) / inner
        _draw_row(drawn, axis, row, number, (max(0.0, top - _ROW / inner), top))
    last = "y" if len(rows) == 1 else f"y{len(rows)}"
    drawn.update_layout(
        xaxis={
            "anchor": last, "range": [0, axis.end_s], "ticksuffix": " s", "hoverformat": ".2f", "showspikes": True,
            "spikemode": "across", "spikethickness": 1, "spikedash": "solid", "showgrid": False, "zeroline": False,
            "title": {"text": "time from the start of the recording"}, "ticklabelstandoff": 6,
        },
        hovermode="x unified",
        hoverdistance=-1,
        hoversubplots="axis",
        dragmode="select",
        selectdirection="h",
        margin={"t": _TOP, "b": _BOTTOM, "l": 64, "r": 14},
        meta={"alt": alt, "time": True},
    )  # fmt: skip
    return drawn


def _with_edges(axis: TimeAxis) -> Floats:
    """The middle of each interval, and the limits of the axis, to which the first and last values extend."""
    times: Floats = np.concatenate((axis.start_s[:1], axis.middle_s, [axis.end_s]))
    return times


def _draw_row(drawn: go.Figure, axis: TimeAxis, row: Row, number: int, domain: tuple[float, float]) -> None:
    import plotly.graph_objects as go

    y_axis, legend = f"y{number + 1 if number else ''}", f"legend{number + 1 if number else ''}"
    for place, lane in enumerate(row.lanes):
        color = lane.color or SERIES[place % len(SERIES)]
        drawn.add_trace(
            go.Scatter(
                x=_with_edges(lane.axis or axis),
                y=np.concatenate((lane.values[:1], lane.values, lane.values[-1:])),
                name=lane.label,
                yaxis=y_axis,
                legend=legend,
                mode="lines",
                line={"color": color, "width": 0.8 if row.stacked else 1.8, "shape": "hvh", "dash": lane.dash},
                fillcolor=color if row.stacked else None,
                stackgroup=y_axis if row.stacked else None,
                hovertemplate=f"%{{y:,.4~{'r' if row.small else 's'}}}{row.suffix}",
                selected={"marker": {"opacity": 0}},
            )
        )
    drawn.update_layout(
        {
            f"yaxis{y_axis[1:]}": {
                "domain": list(domain), "rangemode": "tozero", "nticks": 4, "fixedrange": True,
                "tickformat": "~g" if row.small else "~s",
                "ticksuffix": row.suffix, "automargin": False, "zeroline": False, **row.value_axis,
            },
            legend: {
                "orientation": "h", "x": 1, "xanchor": "right", "y": domain[1], "yanchor": "bottom",
                "visible": len(row.lanes) > 1, "itemclick": "toggle", "itemsizing": "constant",
            },
        }
    )  # fmt: skip
    drawn.add_annotation(
        text=f"<b>{row.title}</b>", x=0, xref="paper", xanchor="left", xshift=-56, y=domain[1], yref="paper",
        yanchor="bottom", yshift=3, showarrow=False, font={"size": 13},
    )  # fmt: skip
