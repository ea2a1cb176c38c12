import pytest

from netprobe.render.units import duration, percent, rate


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (None, "-"),
        (0, "0 ns"),
        (1, "1 ns"),
        (999, "999 ns"),
        (999.4, "999 ns"),
        (999.6, "1 µs"),
        (1000, "1 µs"),
        (1250, "1.25 µs"),
        (100_000, "100 µs"),
        (999_499, "999 µs"),
        (999_600, "1 ms"),
        (1_000_000, "1 ms"),
        (12_345_678, "12.3 ms"),
        (123_456_789, "123 ms"),
        (999_999_999, "1 s"),
        (1e9, "1 s"),
        (61.5e9, "61.5 s"),
        (3600e9, "3600 s"),
        (9.996, "10 ns"),
        (99.96, "100 ns"),
        (0.25, "0.25 ns"),
    ],
)
def test_duration(ns, shown):
    assert duration(ns) == shown


@pytest.mark.parametrize(
    ("count", "seconds", "shown"),
    [(0, 1, "0.0"), (5, 2, "2.5"), (9999, 10, "999.9"), (123_456, 1, "123456"), (1, 0, "-")],
)
def test_rate(count, seconds, shown):
    assert rate(count, seconds) == shown


@pytest.mark.parametrize(("part", "whole", "shown"), [(1, 3, "33.3"), (0, 5, "0.0"), (5, 5, "100.0"), (0, 0, "-")])
def test_percent(part, whole, shown):
    assert percent(part, whole) == shown
