"""Weights for people."""

from __future__ import annotations

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def amount(weight: float, unit: str) -> str:
    """`3.071 s` of nanoseconds; a number and its unit of all else: `1,234 cycles`."""
    if unit == "ns":
        for size, name in _TIMES:
            if weight >= size:
                return f"{weight / size:,.4g} {name}" if weight < 1000 * size else f"{weight / size:,.0f} {name}"
    return f"{weight:,.0f} {unit}"
