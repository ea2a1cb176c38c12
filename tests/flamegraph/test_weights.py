"""Formatting of weights."""

import pytest

from flamegraph.weights import format_weight


@pytest.mark.parametrize(
    ("weight", "unit", "text"),
    [
        (0, "ns", "0 ns"),
        (999, "ns", "999 ns"),
        (1000, "ns", "1 µs"),
        (1_500_000, "ns", "1.5 ms"),
        (3_070_707_040, "ns", "3.071 s"),
        (3_600_000_000_000, "ns", "3,600 s"),
        (3_070_707_040, "cycles", "3,070,707,040 cycles"),
        (1, "samples", "1 samples"),
    ],
)
def test_times_in_seconds_and_other_weights_in_their_unit(weight, unit, text):
    assert format_weight(weight, unit) == text
