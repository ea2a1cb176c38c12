"""Findings as text."""

import pytest

from netprobe.render.findings import summary_lines
from netprobe.rules.finding import Inconclusive, Pass


@pytest.mark.parametrize(("passes", "text"), [(0, "0 rules passed"), (1, "1 rule passed"), (2, "2 rules passed")])
def test_number_of_passes(passes, text):
    lines = summary_lines([*[Pass("reuseport-order")] * passes, Inconclusive("hot-frame", "no samples")])
    assert lines == [f"0 findings, {text}, 1 inconclusive:", "   - hot-frame: no samples"]


def test_rules_with_one_reason_share_a_line():
    results = [Inconclusive("hot-frame", "no samples"), Inconclusive("flush-batched", "no samples")]
    assert summary_lines(results)[1:] == ["   - hot-frame, flush-batched: no samples"]
