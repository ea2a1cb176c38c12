"""The charts of both sides get the same axes, so that they can be compared by eye."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Space above the largest value.
_ROOM = 1.05


def share_scales(figures: Mapping[str, Any]) -> None:
    """Set the axes of each pair of figures (plotly's JSON) `a-NAME` and `b-NAME` that have the same quantities."""
    for name, left in figures.items():
        right = figures.get(f"b-{name[2:]}") if name.startswith("a-") else None
        if right is None or name.startswith("a-reuseport"):
            continue
        pair = (left, right)
        if all(figure["layout"].get("meta", {}).get("time") for figure in pair):
            _share_time(pair)
        elif all(trace.get("type") == "bar" for figure in pair for trace in figure["data"]):
            _share_bars(pair)
        elif any(trace.get("type") == "heatmap" for figure in pair for trace in figure["data"]):
            _share_colours(pair)
        else:
            _share_points(pair)


Pair = tuple[Any, Any]


def _share_time(pair: Pair) -> None:
    """One time axis, and one value axis for rows with the same title."""
    end = max(figure["layout"]["xaxis"]["range"][1] for figure in pair)
    for figure in pair:
        figure["layout"]["xaxis"]["range"] = [0, end]
    rows = [_rows(figure) for figure in pair]
    for title in rows[0].keys() & rows[1].keys():
        axes = [figure["layout"][f"yaxis{axis_of[title][1:]}"] for figure, axis_of in zip(pair, rows, strict=True)]
        if any("range" in axis for axis in axes):
            continue
        most = max(_max(figure, axis_of[title]) for figure, axis_of in zip(pair, rows, strict=True))
        for axis in axes:
            axis["range"] = [0, most * _ROOM or 1]


def _rows(figure: Any) -> dict[str, str]:
    """Title → axis (`y2`): the annotations are the titles of the rows, in order."""
    titles = [note["text"] for note in figure["layout"].get("annotations", ())]
    return {title: f"y{number + 1 if number else ''}" for number, title in enumerate(titles)}


def _max(figure: Any, axis: str) -> float:
    traces = [trace for trace in figure["data"] if trace.get("yaxis", "y") == axis]
    values = [decoded(trace["y"]) for trace in traces]
    if traces and all("stackgroup" in trace for trace in traces):
        values = [np.sum([np.nan_to_num(row) for row in values], axis=0)]
    return _largest(values)


def _share_bars(pair: Pair) -> None:
    titles = {figure["layout"]["xaxis"].get("title", {}).get("text") for figure in pair}
    if len(titles) > 1:
        return
    most = 0.0
    for figure in pair:
        if figure["data"]:
            most = max(most, _largest([np.sum([decoded(trace["x"]) for trace in figure["data"]], axis=0)]))
    for figure in pair:
        figure["layout"]["xaxis"]["range"] = [0, most * _ROOM or 1]


def _share_colours(pair: Pair) -> None:
    """One colour scale for heat maps of the same name; a map that only one side has keeps its own."""
    most: dict[str, float] = {}
    chosen = [trace for figure in pair for trace in figure["data"] if "zmax" in trace]
    # Within a side the local and the remote cells already have one scale: each pair of names has its own.
    for trace in chosen:
        most[trace["name"]] = max(most.get(trace["name"], 0.0), float(trace["zmax"]))
    for trace in chosen:
        trace["zmax"] = most[trace["name"]]


def _share_points(pair: Pair) -> None:
    """Points and lines: the value axis is shared, the axis of names is not."""
    for axis, values in (("xaxis", "x"), ("yaxis", "y")):
        axes = [figure["layout"].get(axis, {}) for figure in pair]
        # An axis of names.
        if (
            any("tickvals" in each and each.get("type") != "log" for each in axes)
            or len({_kind(each) for each in axes}) > 1
        ):
            continue
        rows = [decoded(trace[values]) for figure in pair for trace in figure["data"] if values in trace]
        log = axes[0].get("type") == "log"
        known = [row[np.isfinite(row) & ((row > 0) | (not log))] for row in rows]
        high, low = _largest(known), -_largest([-row for row in known])
        if not high > 0:
            continue
        ends = [np.log10(low) - 0.1, np.log10(high) + 0.1] if log else [min(0.0, low), high * _ROOM]
        for each in axes:
            each["range"] = [float(end) for end in ends]


def _kind(axis: Mapping[str, Any]) -> tuple[str, str]:
    return str(axis.get("type", "linear")), str(axis.get("title", {}).get("text", ""))


def _largest(rows: Iterable[Any]) -> float:
    return max((float(np.nanmax(row)) for row in rows if np.isfinite(row).any()), default=0.0)


def decoded(values: Any) -> Any:
    """An array of plotly's JSON, packed or not; null is NaN."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"])).astype(np.float64)
    return np.array([np.nan if value is None else value for value in values], np.float64)
