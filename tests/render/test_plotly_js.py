"""The script of netprobe's own pages."""

import re

from plotly.offline import get_plotlyjs_version

from netprobe.render.plotly_js import plotly_js


def test_it_speaks_the_language_of_the_package():
    """Figures are made by the Python package, which may be newer; of another major version they may not be drawn."""
    version = re.search(r"plotly\.js \(cartesian - minified\) v([\d.]+)", plotly_js()[:200])
    assert version is not None
    assert version[1].split(".")[0] == get_plotlyjs_version().split(".")[0]


def test_it_ends_no_element():
    assert "</script" not in plotly_js().lower()
