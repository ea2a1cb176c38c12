"""Changes between two sides with their 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netprobe.render.diff import change, confidence_interval, rate
from netprobe.render.figures.theme import BLUE, ORANGE, figure
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.compare.change import Change
    from netprobe.analysis.compare.comparison import Comparison

# The axis is logarithmic in B / A: a half is as far to the left as a double is to the right.
_MIN, _MAX = 1 / 32, 32.0
_TICKS = {1 / 32: "÷ 32", 1 / 8: "÷ 8", 0.5: "÷ 2", 1.0: "=", 2.0: "× 2", 8.0: "× 8", 32.0: "× 32"}


def draw(comparison: Comparison, top: int = 25) -> go.Figure:
    """A row for each metric that changed, the most significant first; `top`: number of rows, 0 for all.

    Functions are shown in the flame graph.
    """
    rows = [row for row in comparison.changed if row.kind == "metric"]
    if not rows:
        raise MissingDataError("no metric changed by more than noise")
    known = len(rows)
    rows = rows[:top] if top else rows
    some = f"; the {len(rows)} most significant of {known} changes" if known > len(rows) else ""
    drawn = figure(110 + 27 * len(rows))
    _draw_side(drawn, rows, "less in B", BLUE, [number for number, row in enumerate(rows) if _ratio(row) < 1])
    _draw_side(drawn, rows, "more in B", ORANGE, [number for number, row in enumerate(rows) if _ratio(row) >= 1])
    drawn.update_layout(
        xaxis={
            "type": "log", "range": [math.log10(_MIN) - 0.15, math.log10(_MAX) + 0.15], "tickmode": "array",
            "tickvals": list(_TICKS), "ticktext": list(_TICKS.values()), "tickangle": 0,
            "title": {"text": f"B relative to A, with the 95 % confidence interval{some}"},
        },
        yaxis={
            "tickmode": "array", "tickvals": list(range(len(rows))), "ticktext": [label(row.name, 48) for row in rows],
            "range": [len(rows) - 0.4, -0.6], "zeroline": False, "showgrid": True, "griddash": "dot",
        },
        shapes=[
            {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
             "line": {"width": 1.5, "color": "#7d8794"}}
        ],
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        showlegend=True,
        meta={"alt": "Changes with confidence intervals"},
    )  # fmt: skip
    return drawn


def _draw_side(drawn: go.Figure, rows: Sequence[Change], name: str, color: str, places: list[int]) -> None:
    import plotly.graph_objects as go

    chosen = [rows[place] for place in places]
    if not chosen:
        return
    ratios = [_within(_ratio(row)) for row in chosen]
    low, high = zip(*(_ends(row) for row in chosen), strict=True)
    drawn.add_trace(
        go.Scatter(
            x=ratios, y=places, name=name, mode="markers+text", cliponaxis=False,
            marker={"color": color, "size": 11, "symbol": [_symbol(row) for row in chosen]},
            text=[label(change(row)) if _symbol(row) != "circle" else "" for row in chosen],
            textposition=["middle right" if ratio < 1 else "middle left" for ratio in ratios],
            error_x={
                "type": "data", "symmetric": False, "thickness": 2, "width": 0, "color": color,
                "array": [end - ratio for end, ratio in zip(high, ratios, strict=True)],
                "arrayminus": [ratio - end for end, ratio in zip(low, ratios, strict=True)],
            },
            customdata=[_hover(row) for row in chosen],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip


def _hover(row: Change) -> str:
    rates = f"{rate(row.rate_a, row.unit)} → {rate(row.rate_b, row.unit)} per {row.per}"
    limits = confidence_interval(row)
    return f"<b>{label(row.name, 80)}</b><br>{rates}<br>{change(row)}" + (f" (95 % CI: {limits})" if limits else "")


def _ratio(row: Change) -> float:
    if row.verdict == "new" or not row.rate_a:
        return math.inf
    return 0.0 if row.verdict == "gone" else row.rate_b / row.rate_a


def _within(ratio: float) -> float:
    return min(max(ratio, _MIN), _MAX)


def _ends(row: Change) -> tuple[float, float]:
    """Ends of the confidence interval, limited to the axis; an empty interval for new and gone metrics."""
    ratio = _within(_ratio(row))
    if row.verdict in ("new", "gone") or row.low_pct is None or row.high_pct is None:
        return ratio, ratio
    return min(ratio, _within(1 + row.low_pct / 100)), max(ratio, _within(1 + row.high_pct / 100))


def _symbol(row: Change) -> str:
    """An arrow for a ratio beyond the axis, and for a missing ratio."""
    ratio = _ratio(row)
    return "triangle-left" if ratio < _MIN else "triangle-right" if ratio > _MAX else "circle"
