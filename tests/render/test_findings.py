"""Findings as text."""

import pytest

from netprobe.render.findings import summary
from netprobe.rules.finding import Inconclusive, Pass


@pytest.mark.parametrize(("passes", "text"), [(0, "0 rules passed"), (1, "1 rule passed"), (2, "2 rules passed")])
def test_number_of_passes(passes, text):
    line = summary([*[Pass("reuseport-order")] * passes, Inconclusive("hot-frame", "no samples")])
    assert line == f"0 findings, {text}, 1 inconclusive (hot-frame)."
