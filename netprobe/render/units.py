"""Numbers as text."""

from __future__ import annotations

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def duration(ns: float | None) -> str:
    """A time with three digits and a suitable unit: `100 µs`, `1.25 ms`; `-` for None."""
    if ns is None:
        return "-"
    for size, unit in _TIMES:
        if ns >= size * 0.9995:
            return f"{_three_digits(ns / size)} {unit}"
    return f"{_three_digits(ns)} ns"


def _three_digits(value: float) -> str:
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rate(count: float, seconds: float) -> str:
    """A count per second."""
    if seconds <= 0:
        return "-"
    value = count / seconds
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}"


def percent(part: float, whole: float) -> str:
    """A share in percent, without the percent sign."""
    return f"{100 * part / whole:.1f}" if whole else "-"
