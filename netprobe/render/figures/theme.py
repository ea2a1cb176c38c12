"""Colours and layout of figures; the colours are distinct on white, on black and for colour-blind readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VIOLET = "#3b82d6", "#d9731a", "#2e9e63", "#8e6bd8"
TEAL, PINK, OLIVE, RED, GREY = "#1c98a8", "#d0569b", "#8a8f1f", "#e0484d", "#7d8794"
SERIES = (BLUE, ORANGE, GREEN, VIOLET, TEAL, PINK, OLIVE)
# From low to high. The page replaces the light scales by the dark ones in its dark theme.
SCALES = {
    "light": {"good": ["#e3eefb", "#7fb0ec", "#2766b8"], "bad": ["#fde7e2", "#f08a6c", "#c22f35"],
              "plain": ["#f0ecfa", "#b09adf", "#6b46b8"], "empty": ["#f3f5f8", "#f3f5f8"]},
    "dark": {"good": ["#1b2a3f", "#27528c", "#3b82d6"], "bad": ["#3a1f1e", "#8f3532", "#e0484d"],
             "plain": ["#272138", "#4f3a86", "#8e6bd8"], "empty": ["#1b2027", "#1b2027"]},
}  # fmt: skip
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
_INK = {"light": ("#1b1f27", "#5b6472", "#dfe3e9", "#ffffff"), "dark": ("#eef1f6", "#a3acba", "#303742", "#14171c")}


def template(look: str = "light") -> dict[str, Any]:
    """The plotly template of the "light" or "dark" theme."""
    ink, soft, line, paper = _INK[look]
    axis = {
        "automargin": True, "gridcolor": line, "linecolor": line, "zerolinecolor": line, "tickcolor": line,
        "tickfont": {"color": soft, "size": 12}, "title": {"font": {"color": soft, "size": 12}, "standoff": 8},
    }  # fmt: skip
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": ink},
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "colorway": list(SERIES),
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": paper, "bordercolor": soft, "font": {"color": ink, "size": 12, "family": FONT},
                "align": "left", "namelength": 40,
            },
            "legend": {"font": {"color": ink, "size": 12}, "bgcolor": "rgba(0,0,0,0)"},
            "annotationdefaults": {"font": {"color": ink}},
            "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
        }
    }  # fmt: skip


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure of this height in pixels, as wide as its container."""
    import plotly.graph_objects as go

    return go.Figure(layout={"template": template(), "height": height, "autosize": True, **layout})


def note(drawn: go.Figure, text: str) -> None:
    """Add a line below the figure, on data that it does not show."""
    drawn.update_layout(height=drawn.layout.height + 20, margin_b=28)
    drawn.add_annotation(
        text=text, x=1, xref="paper", xanchor="right", y=0, yref="paper", yanchor="top", showarrow=False, opacity=0.75,
    )  # fmt: skip


def scale(name: str) -> dict[str, Any]:
    """Colour scale of a heat map: "good", "bad", "plain" or "empty". The page reads the name from `meta`."""
    return {"colorscale": SCALES["light"][name], "meta": {"scale": name}, "showscale": False}


def dark(drawn: go.Figure) -> go.Figure:
    """A copy for a dark background."""
    import plotly.graph_objects as go

    copy = go.Figure(drawn)
    copy.update_layout(template=template("dark"))
    for trace in copy.data:
        if isinstance(trace.meta, dict) and "scale" in trace.meta:
            trace.colorscale = SCALES["dark"][trace.meta["scale"]]
    return copy
