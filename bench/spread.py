"""Medians with quartiles."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def describe(values: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles and all values."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": middle, "quartile_1": low, "quartile_3": high, "values": list(values)}


def line(name: str, values: Sequence[float], unit: str = "", digits: int = 3) -> str:
    """One line for the terminal."""
    found = describe(values)
    numbers = ", ".join(f"{found[key]:.{digits}f}" for key in ("quartile_1", "quartile_3"))
    return f"{name:34} median {found['median']:.{digits}f} {unit}  (quartiles {numbers}; {len(values)} rounds)"
