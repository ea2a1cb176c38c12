"""Student's t against published tables (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2)."""

import math

import numpy as np
import pytest

from netprobe.analysis.student import quantile, quantiles, two_sided_p

# Two-sided probability -> degrees of freedom -> t.
TABLE = {
    0.20: {1: 3.078, 2: 1.886, 5: 1.476, 10: 1.372, 30: 1.310, 100: 1.290},
    0.10: {1: 6.314, 2: 2.920, 5: 2.015, 10: 1.812, 30: 1.697, 100: 1.660},
    0.05: {1: 12.706, 2: 4.303, 5: 2.571, 10: 2.228, 30: 2.042, 100: 1.984},
    0.01: {1: 63.657, 2: 9.925, 5: 4.032, 10: 3.169, 30: 2.750, 100: 2.626},
    0.002: {1: 318.313, 2: 22.327, 5: 5.893, 10: 4.144, 30: 3.385, 100: 3.174},
}
CELLS = [(p, dof, t) for p, row in TABLE.items() for dof, t in row.items()]


@pytest.mark.parametrize(("p", "dof", "t"), CELLS)
def test_published_values(p, dof, t):
    assert quantile(p, dof) == pytest.approx(t, abs=6e-4, rel=2e-5)
    assert two_sided_p(t, dof) == pytest.approx(p, rel=2e-3)


def test_one_degree_is_cauchy():
    t = np.array([0.0, 0.5, 3.0, 1e3, 1e8])
    np.testing.assert_allclose(two_sided_p(t, 1), 1 - 2 / math.pi * np.arctan(t), rtol=1e-6, atol=1e-9)


def test_two_degrees_in_closed_form():
    t = np.array([0.1, 1.0, 5.0, 40.0])
    np.testing.assert_allclose(two_sided_p(t, 2), 1 - t / np.sqrt(2 + t**2), rtol=1e-8)


def test_many_degrees_are_nearly_normal():
    t = np.array([0.5, 1.96, 4.0])
    normal = np.array([math.erfc(value / math.sqrt(2)) for value in t])
    np.testing.assert_allclose(two_sided_p(t, 1e9), normal, rtol=0.05)


def test_far_tails_are_small_and_not_zero():
    assert 0 < two_sided_p(30.0, 40) < 1e-25
    assert quantile(1e-12, 8) == pytest.approx(float(quantile(two_sided_p(quantile(1e-12, 8), 8), 8)))


def test_interpolated_quantiles():
    dof = np.array([1.0, 1.7, 3.3, 12.5, 80.0, 5000.0])
    for p in (0.4, 0.05, 1e-6):
        np.testing.assert_allclose(quantiles(p, dof), quantile(p, dof), rtol=1e-3)
