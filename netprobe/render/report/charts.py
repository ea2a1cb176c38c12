"""Sections of a page, their charts, and the tables below the charts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any

import numpy as np

from netprobe.analysis.time_series import mean_min_max
from netprobe.errors import NetprobeError
from netprobe.render.report.html import Html, element, folded, join, table
from netprobe.render.report.shared_scales import decoded
from netprobe.render.text import TextColumn, TextTable
from netprobe.rules.context import MissingDataError

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Section:
    """A section of a page: its anchor, title and content."""

    anchor: str
    title: str
    body: Html
    short: str = ""
    """Title in the navigation bar, if the full title is long."""


@dataclass
class Charts:
    """The charts of a page, as plotly's JSON by name."""

    figures: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Reasons why other charts are missing."""

    def place(self, name: str, draw: Callable[[], go.Figure], *, numbers: bool = False) -> Html:
        """The element in which a chart is drawn, or a sentence with the reason why there is no chart.

        `numbers`: with a table of the chart's data, for charts whose data are in no other table of the page.
        """
        try:
            drawn = draw()
        except NetprobeError as error:
            return self.lacking(error.message)
        # The page holds the light and the dark template once for all charts.
        drawn.update_layout(template=None)
        plain = json.loads(drawn.to_json(validate=False))
        self.figures[name] = plain
        meta = plain["layout"].get("meta", {})
        below = (
            folded("Data of the chart, as a table", table(table_of(plain), meta.get("alt", name))) if numbers else ""
        )
        place = element(
            "div",
            id=f"chart-{name}",
            class_="chart",
            style=f"height:{int(plain['layout'].get('height', 300))}px",
            role="img",
            aria_label=f"{meta.get('alt', name)}; a table below has the same data",
            data_time=bool(meta.get("time")),
        )
        return join((place, below))

    def lacking(self, why: str) -> Html:
        """A sentence in place of a missing chart; the reason is added to the list of missing data."""
        reason = re.sub(r"^There is no figure \w+: ", "", why)
        if reason not in self.missing:
            self.missing.append(reason)
        return element("p", element("strong", "Not available: "), reason, class_="missing")

    def attempt(self, make: Callable[[], Html]) -> Html:
        """The result of `make`, or a sentence on the data that the Run lacks for it."""
        try:
            return make()
        except MissingDataError as missing:
            return self.lacking(str(missing))
        except NetprobeError as error:
            return self.lacking(error.message)
        except KeyError as missing:
            return self.lacking(f"the Run has no {missing}")


def or_nothing(make: Callable[[], object]) -> Html:
    """The result of `make`, or nothing if the Run lacks data for it."""
    try:
        return element("div", make())
    except (MissingDataError, NetprobeError, KeyError):
        return Html("")


# ---- The data of a chart as a table ----


def table_of(figure: Any) -> TextTable:
    """From plotly's JSON: mean, minimum and maximum of each line of a chart over time; else each point."""
    return _lines(figure) if figure["layout"].get("meta", {}).get("time") else _points(figure)


def _lines(figure: Any) -> TextTable:
    titles = [_plain(note["text"]) for note in figure["layout"].get("annotations", ())]
    rows = []
    for trace in figure["data"]:
        # The first and last points repeat the first and last intervals.
        summary = mean_min_max(decoded(trace["y"])[1:-1])
        row = int(trace.get("yaxis", "y")[1:] or 1) - 1
        shown = [_short(value) for value in summary] if summary else ["-"] * 3
        rows.append([titles[row] if row < len(titles) else "", _plain(trace["name"]), *shown])
    columns = [
        TextColumn("QUANTITY"),
        TextColumn("LINE"),
        TextColumn("MEAN", True),
        TextColumn("MIN", True),
        TextColumn("MAX", True),
    ]
    return TextTable(columns, rows)


def _points(figure: Any) -> TextTable:
    across, down = (figure["layout"].get(f"{name}axis", {}) for name in "xy")
    names = [_plain(name) for name in down.get("ticktext", ())]
    rows = []
    for trace in figure["data"]:
        if not trace.get("name"):
            continue
        for x, y in zip(decoded(trace["x"]), decoded(trace["y"]), strict=True):
            # Charts with named rows have their values on the x axis; charts by round on the y axis.
            place, value = (names[int(y)], x) if names else (f"{_title(across)} {x:.0f}", y)
            rows.append([_plain(trace["name"]), place, _short(value)])
    unit = "SECONDS" if names else _title(down).upper()
    return TextTable([TextColumn("QUANTITY"), TextColumn("OF"), TextColumn(unit or "VALUE", True)], rows)


def _title(axis: Any) -> str:
    return _plain(axis.get("title", {}).get("text", ""))


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _plain(label: str) -> str:
    """The text of a label that was escaped for plotly."""
    return unescape(re.sub(r"</?b>", "", label))
