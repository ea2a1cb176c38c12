"""plotly.js for netprobe's own pages: its build with scatter, bar, heat map and their kin (the "cartesian" bundle).

A third of the size of the whole, which is what the Python package brings: a browser that was just started has it
compiled in half a second instead of more than a whole one. It is the published file, unchanged, with its licence
(MIT); `npm pack plotly.js-cartesian-dist-min@VERSION` gets it anew. Notebooks use plotly's own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def plotly_js() -> str:
    """The script, which defines `Plotly`; 1.5 MB."""
    return (files(__name__) / "plotly-cartesian.min.js").read_text("utf-8")
