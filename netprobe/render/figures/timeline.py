"""Rows of lines above each other on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netprobe.render.figures.theme import SERIES, figure
from netprobe.rules.context import MissingDataError
from netprobe.run.model import Run

if TYPE_CHECKING:
    import numpy.typing as npt
    import plotly.graph_objects as go

    from netprobe.run.table import Values

    Floats = npt.NDArray[np.float64]

_ROW, _GAP, _TOP, _BOTTOM = 118, 46, 34, 50


@dataclass(frozen=True)
class Clock:
    """Start, middle and length of each time interval, in seconds from the start of the recording."""

    start_s: Floats
    duration_s: Floats

    @property
    def middle_s(self) -> Floats:
        """Where an interval's value is drawn."""
        return self.start_s + self.duration_s / 2

    @property
    def end_s(self) -> float:
        """End of the last interval."""
        return float(self.start_s[-1] + self.duration_s[-1]) if len(self.start_s) else 0.0

    def by_interval(self, intervals: Values, counts: Values) -> Floats:
        """Counts added up by interval."""
        places, amounts = np.asarray(intervals, np.int64), np.asarray(counts, np.float64)
        inside = (places >= 0) & (places < len(self.start_s))
        return np.bincount(places[inside], amounts[inside], len(self.start_s)).astype(np.float64)

    def rate(self, intervals: Values, counts: Values) -> Floats:
        """The same by second."""
        return self.per_second(self.by_interval(intervals, counts))

    def per_second(self, counts: Floats) -> Floats:
        """Counts of each interval by second."""
        return np.divide(counts, self.duration_s, out=np.zeros_like(counts), where=self.duration_s > 0)


def clock_of(run: Run) -> Clock:
    """Raises `MissingDataError` where a Run has no time."""
    table = run.tables.get("intervals")
    if table is None or not len(table):
        raise MissingDataError("the Run has no time intervals")
    start, duration = (np.asarray(table.columns[name], np.float64) for name in ("start_s", "duration_s"))
    if not np.isfinite(start + duration).all():
        raise MissingDataError("how long it took is not known")
    return Clock(start, duration)


@dataclass(frozen=True)
class Line:
    """One line: a label that is harmless for plotly, and a value for each interval."""

    label: str
    values: Floats
    color: str = ""
    dash: str = "solid"
    clock: Clock | None = None
    """Of another recording; None: that of the figure."""


@dataclass(frozen=True)
class Row:
    """Lines that share a value axis. `stacked`: areas on top of each other."""

    title: str
    lines: Sequence[Line]
    stacked: bool = False
    suffix: str = ""
    small: bool = False
    """Values about 1, which no prefix makes more readable."""
    axis: dict[str, Any] = field(default_factory=dict)


def draw(clock: Clock, rows: Sequence[Row], alt: str) -> go.Figure:
    """Rows from top to bottom; pointing at a time shows the values of all."""
    height = _TOP + _BOTTOM + len(rows) * _ROW + (len(rows) - 1) * _GAP
    inner = height - _TOP - _BOTTOM
    drawn = figure(height)
    for number, row in enumerate(rows):
        top = 1 - number * (_ROW + _GAP) / inner
        _draw_row(drawn, clock, row, number, (max(0.0, top - _ROW / inner), top))
    last = "y" if len(rows) == 1 else f"y{len(rows)}"
    drawn.update_layout(
        xaxis={
            "anchor": last, "range": [0, clock.end_s], "ticksuffix": " s", "hoverformat": ".2f", "showspikes": True,
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


def _to_the_ends(clock: Clock) -> Floats:
    """An interval's value stands at its middle; the first and the last reach to the edges."""
    found: Floats = np.concatenate((clock.start_s[:1], clock.middle_s, [clock.end_s]))
    return found


def _draw_row(drawn: go.Figure, clock: Clock, row: Row, number: int, domain: tuple[float, float]) -> None:
    import plotly.graph_objects as go

    axis, legend = f"y{number + 1 if number else ''}", f"legend{number + 1 if number else ''}"
    for place, line in enumerate(row.lines):
        color = line.color or SERIES[place % len(SERIES)]
        drawn.add_trace(
            go.Scatter(
                x=_to_the_ends(line.clock or clock),
                y=np.concatenate((line.values[:1], line.values, line.values[-1:])),
                name=line.label,
                yaxis=axis,
                legend=legend,
                mode="lines",
                line={"color": color, "width": 0.8 if row.stacked else 1.8, "shape": "hvh", "dash": line.dash},
                fillcolor=color if row.stacked else None,
                stackgroup=axis if row.stacked else None,
                hovertemplate=f"%{{y:,.4~{'r' if row.small else 's'}}}{row.suffix}",
                selected={"marker": {"opacity": 0}},
            )
        )
    drawn.update_layout(
        {
            f"yaxis{axis[1:]}": {
                "domain": list(domain), "rangemode": "tozero", "nticks": 4, "fixedrange": True,
                "tickformat": "~g" if row.small else "~s",
                "ticksuffix": row.suffix, "automargin": False, "zeroline": False, **row.axis,
            },
            legend: {
                "orientation": "h", "x": 1, "xanchor": "right", "y": domain[1], "yanchor": "bottom",
                "visible": len(row.lines) > 1, "itemclick": "toggle", "itemsizing": "constant",
            },
        }
    )  # fmt: skip
    drawn.add_annotation(
        text=f"<b>{row.title}</b>", x=0, xref="paper", xanchor="left", xshift=-56, y=domain[1], yref="paper",
        yanchor="bottom", yshift=3, showarrow=False, font={"size": 13},
    )  # fmt: skip
