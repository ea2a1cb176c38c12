"""Two charts of the same thing beside each other get the same axes, so that they can be compared by eye."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# A little room above what is largest.
_ROOM = 1.05


def share_scales(figures: Mapping[str, Any]) -> None:
    """Of each pair of figures (plotly's JSON) `a-NAME` and `b-NAME`, as far as their axes say the same."""
    for name, left in figures.items():
        right = figures.get(f"b-{name[2:]}") if name.startswith("a-") else None
        if right is None or name.startswith("a-reuseport"):
            continue
        pair = (left, right)
        if all(one["layout"].get("meta", {}).get("time") for one in pair):
            _share_time(pair)
        elif all(trace.get("type") == "bar" for one in pair for trace in one["data"]):
            _share_bars(pair)
        elif any(trace.get("type") == "heatmap" for one in pair for trace in one["data"]):
            _share_colours(pair)
        else:
            _share_points(pair)


Pair = tuple[Any, Any]


def _share_time(pair: Pair) -> None:
    """One time axis, and the same values for rows of the same title."""
    end = max(one["layout"]["xaxis"]["range"][1] for one in pair)
    for one in pair:
        one["layout"]["xaxis"]["range"] = [0, end]
    rows = [_rows(one) for one in pair]
    for title in rows[0].keys() & rows[1].keys():
        axes = [one["layout"][f"yaxis{here[title][1:]}"] for one, here in zip(pair, rows, strict=True)]
        if any("range" in axis for axis in axes):
            continue
        most = max(_most(one, here[title]) for one, here in zip(pair, rows, strict=True))
        for axis in axes:
            axis["range"] = [0, most * _ROOM or 1]


def _rows(one: Any) -> dict[str, str]:
    """Axis (`y2`) by title: each row has an annotation, in the same order."""
    titles = [note["text"] for note in one["layout"].get("annotations", ())]
    return {title: f"y{number + 1 if number else ''}" for number, title in enumerate(titles)}


def _most(one: Any, axis: str) -> float:
    traces = [trace for trace in one["data"] if trace.get("yaxis", "y") == axis]
    values = [numbers(trace["y"]) for trace in traces]
    if traces and all("stackgroup" in trace for trace in traces):
        values = [np.sum([np.nan_to_num(row) for row in values], axis=0)]
    return _largest(values)


def _share_bars(pair: Pair) -> None:
    titles = {one["layout"]["xaxis"].get("title", {}).get("text") for one in pair}
    if len(titles) > 1:
        return
    most = 0.0
    for one in pair:
        if one["data"]:
            most = max(most, _largest([np.sum([numbers(trace["x"]) for trace in one["data"]], axis=0)]))
    for one in pair:
        one["layout"]["xaxis"]["range"] = [0, most * _ROOM or 1]


def _share_colours(pair: Pair) -> None:
    """Of maps of the same name; what is in one of them only keeps its own."""
    most: dict[str, float] = {}
    chosen = [trace for one in pair for trace in one["data"] if "zmax" in trace]
    # Both colours of the matrix have one scale already: each pair of names has its own.
    for trace in chosen:
        most[trace["name"]] = max(most.get(trace["name"], 0.0), float(trace["zmax"]))
    for trace in chosen:
        trace["zmax"] = most[trace["name"]]


def _share_points(pair: Pair) -> None:
    """Dots and lines: the axis that has values; that of the names stays."""
    for axis, values in (("xaxis", "x"), ("yaxis", "y")):
        axes = [one["layout"].get(axis, {}) for one in pair]
        # Names, not numbers.
        if (
            any("tickvals" in here and here.get("type") != "log" for here in axes)
            or len({_kind(here) for here in axes}) > 1
        ):
            continue
        rows = [numbers(trace[values]) for one in pair for trace in one["data"] if values in trace]
        log = axes[0].get("type") == "log"
        known = [row[np.isfinite(row) & ((row > 0) | (not log))] for row in rows]
        most, least = _largest(known), -_largest([-row for row in known])
        if not most > 0:
            continue
        ends = [np.log10(least) - 0.1, np.log10(most) + 0.1] if log else [min(0.0, least), most * _ROOM]
        for here in axes:
            here["range"] = [float(end) for end in ends]


def _kind(axis: Mapping[str, Any]) -> tuple[str, str]:
    return str(axis.get("type", "linear")), str(axis.get("title", {}).get("text", ""))


def _largest(rows: Iterable[Any]) -> float:
    return max((float(np.nanmax(row)) for row in rows if np.isfinite(row).any()), default=0.0)


def numbers(values: Any) -> Any:
    """Numbers of plotly's JSON, which packs arrays; null is NaN."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"])).astype(np.float64)
    return np.array([np.nan if value is None else value for value in values], np.float64)
