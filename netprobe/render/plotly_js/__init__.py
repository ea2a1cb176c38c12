"""plotly.js for netprobe's own pages: the "cartesian" bundle with scatter plots, bar charts and heat maps.

It has a third of the size of the full bundle that the Python package contains, so that a browser compiles it in 0.5 s
instead of more than 1 s. It is the published file, unchanged, with its licence (MIT); to update it, use
`npm pack plotly.js-cartesian-dist-min@VERSION`. Notebooks use plotly's own bundle.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def plotly_js() -> str:
    """The script, which defines `Plotly`; 1.5 MB."""
    return (files(__name__) / "plotly-cartesian.min.js").read_text("utf-8")
