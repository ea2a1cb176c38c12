"""Student's t distribution for arrays: tail probabilities and quantiles, without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# With more degrees of freedom the t distribution is normal to the precision that is needed.
MAX_DOF = 2000.0
_TINY = 1e-300
_ROUNDS, _STEPS = 300, 60
_GRID = 100
_lgamma = np.frompyfunc(math.lgamma, 1, 1)


def two_sided_p(t: npt.ArrayLike, dof: npt.ArrayLike) -> Floats:
    """P(|T| >= |t|) of Student's t, for arrays that broadcast.

    Computed with the incomplete beta function: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.1.
    """
    values, degrees = np.broadcast_arrays(np.asarray(t, np.float64), np.clip(np.asarray(dof, np.float64), 1, MAX_DOF))
    return _incomplete_beta(degrees / 2, degrees / (degrees + values**2), values**2 / (degrees + values**2))


def quantile(p: npt.ArrayLike, dof: npt.ArrayLike) -> Floats:
    """The t whose absolute value is exceeded with probability `p`.

    Newton's method on logarithms, in which the tail is nearly linear; bisection if a step leaves the known bracket.
    """
    probability, degrees = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(dof, np.float64))
    low, high = np.full(probability.shape, -12.0), np.full(probability.shape, 60.0)
    at = np.zeros(probability.shape)
    for _ in range(_STEPS):
        reached = two_sided_p(np.exp(at), degrees)
        low, high = np.where(reached > probability, at, low), np.where(reached > probability, high, at)
        step = np.log(np.maximum(reached, _TINY) / probability) / _steepness(at, reached, degrees)
        inside = (low < at + step) & (at + step < high)
        following = np.where(inside, at + step, (low + high) / 2)
        moved, at = np.abs(following - at), following
        if np.all(moved < 1e-13 * np.maximum(1, np.abs(at))):
            break
    found: Floats = np.exp(at)
    return found


def _steepness(log_t: Floats, p: Floats, dof: Floats) -> Floats:
    """The negative derivative of log p by log t: 2 t f(t) / p, with the density f."""
    degrees = np.clip(dof, 1, MAX_DOF)
    log_density = _gamma_ratio(degrees / 2) - 0.5 * np.log(degrees * math.pi)
    log_density = log_density - (degrees + 1) / 2 * np.log1p(np.exp(2 * log_t) / degrees)
    found: Floats = 2 * np.exp(log_t + log_density - np.log(np.maximum(p, _TINY)))
    return np.maximum(found, 1e-12)


def quantiles(p: float, dof: Floats) -> Floats:
    """`quantile` for one probability and many degrees of freedom, interpolated with an error below 0.1 %."""
    grid, logarithms = _grid(float(p))
    found: Floats = np.exp(np.interp(np.maximum(dof, 1.0) ** -0.5, grid, logarithms))
    return found


@lru_cache(maxsize=16)
def _grid(p: float) -> tuple[Floats, Floats]:
    grid = np.linspace(MAX_DOF**-0.5, 1.0, _GRID)
    return grid, np.log(quantile(p, grid**-2))


def _incomplete_beta(a: Floats, x: Floats, rest: Floats) -> Floats:
    """I_x(a, 1/2), regularised. `rest` is 1 - x, which cannot be computed from an x close to 1."""
    powers = a * np.log(np.maximum(x, _TINY)) + 0.5 * np.log(np.maximum(rest, _TINY))
    front = np.exp(_gamma_ratio(a) - 0.5 * math.log(math.pi) + powers)
    direct = x < (a + 1) / (a + 2.5)
    half = np.full(a.shape, 0.5)
    first = np.where(direct, a, half)
    second = np.where(direct, half, a)
    part = front * _fraction(first, second, np.where(direct, x, rest)) / first
    found: Floats = np.clip(np.where(direct, part, 1 - part), 0.0, 1.0)
    return found


def _gamma_ratio(a: Floats) -> Floats:
    """ln(gamma(a + 1/2) / gamma(a))."""
    return np.asarray(_lgamma(a + 0.5) - _lgamma(a), np.float64)


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c = np.ones(a.shape)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d.copy()
    for m in range(1, _ROUNDS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _not_zero(1 + even * d), _not_zero(1 + even / c)
        value = value * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _not_zero(1 + odd * d), _not_zero(1 + odd / c)
        step = d * c
        value = value * step
        if np.all(np.abs(step - 1) < 1e-13):
            break
    return value


def _not_zero(value: Floats) -> Floats:
    return np.where(np.abs(value) < _TINY, _TINY, value)
