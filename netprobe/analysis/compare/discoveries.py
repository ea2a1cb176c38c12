"""Control of the false discovery rate over many comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

RATE = 0.05


def threshold(p: Floats, rate: float = RATE) -> float:
    """The largest p-value that counts as a discovery; 0.0 if none does.

    Benjamini and Yekutieli, Annals of Statistics 29 (2001): valid however the comparisons depend on each other.
    Ours do in both directions, since callers contain callees and shares of one total displace each other, so
    that the plain procedure of Benjamini and Hochberg is not proven for them.
    """
    if not len(p):
        return 0.0
    ordered = np.sort(p)
    fits = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / (len(p) * _harmonic(len(p))))
    return float(ordered[fits[-1]]) if len(fits) else 0.0


def first_threshold(comparisons: int, rate: float = RATE) -> float:
    """The p-value that a change needs if it is the only one."""
    return rate / (comparisons * _harmonic(comparisons)) if comparisons else rate


def _harmonic(number: int) -> float:
    return float((1 / np.arange(1, number + 1)).sum())
