"""Findings as text."""

import pytest

from netprobe.render.findings import summary
from netprobe.rules.finding import Inconclusive, Pass


@pytest.mark.parametrize(
    ("passes", "words"), [(0, "0 rules found nothing"), (1, "1 rule found nothing"), (2, "2 rules found nothing")]
)
def test_how_many_found_nothing(passes, words):
    said = summary([*[Pass("reuseport-order")] * passes, Inconclusive("hot-frame", "no samples")])
    assert said == f"0 findings, {words}, 1 inconclusive (hot-frame)."
