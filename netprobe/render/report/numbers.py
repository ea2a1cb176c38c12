"""The numbers of a chart as a table, for charts whose data stand nowhere else on the page."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np

from netprobe.render.report.shared_scales import numbers
from netprobe.render.text import Column, TextTable


def table_of(figure: Any) -> TextTable:
    """Of plotly's JSON: over time mean, least and most of each line; else each point."""
    return _over_time(figure) if figure["layout"].get("meta", {}).get("time") else _points(figure)


def _over_time(figure: Any) -> TextTable:
    titles = [_plain(note["text"]) for note in figure["layout"].get("annotations", ())]
    rows = []
    for trace in figure["data"]:
        # Both ends repeat the first and the last interval.
        values = numbers(trace["y"])[1:-1]
        known = values[np.isfinite(values)]
        row = int(trace.get("yaxis", "y")[1:] or 1) - 1
        shown = [_short(value) for value in (known.mean(), known.min(), known.max())] if len(known) else ["-"] * 3
        rows.append([titles[row] if row < len(titles) else "", _plain(trace["name"]), *shown])
    columns = [Column("WHAT"), Column("LINE"), Column("MEAN", True), Column("LEAST", True), Column("MOST", True)]
    return TextTable(columns, rows)


def _points(figure: Any) -> TextTable:
    across, down = (figure["layout"].get(f"{name}axis", {}) for name in "xy")
    names = [_plain(name) for name in down.get("ticktext", ())]
    rows = []
    for trace in figure["data"]:
        if not trace.get("name"):
            continue
        for x, y in zip(numbers(trace["x"]), numbers(trace["y"]), strict=True):
            # Rows of names have their values across; rounds have them up.
            place, value = (names[int(y)], x) if names else (f"{_title(across)} {x:.0f}", y)
            rows.append([_plain(trace["name"]), place, _short(value)])
    unit = "SECONDS" if names else _title(down).upper()
    return TextTable([Column("WHAT"), Column("OF"), Column(unit or "VALUE", True)], rows)


def _title(axis: Any) -> str:
    return _plain(axis.get("title", {}).get("text", ""))


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _plain(label: str) -> str:
    """Labels are escaped for plotly."""
    return unescape(re.sub(r"</?b>", "", label))
