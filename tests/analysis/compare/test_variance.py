"""Coverage of confidence intervals over correlated time intervals, by simulation."""

import numpy as np
import pytest

from netprobe.analysis.compare.variance import cosines, fast_cosines, over_intervals, over_runs, projected
from netprobe.analysis.student import quantile


def correlated(random, rows, intervals, rho, kind="ar"):
    """Noise with unit variance and autocorrelation."""
    noise = random.normal(size=(rows, intervals + 100))
    if kind == "ma":
        return (noise[:, 1:] + noise[:, :-1])[:, :intervals] / np.sqrt(2)
    for place in range(1, intervals + 100):
        noise[:, place] += rho * noise[:, place - 1]
    return noise[:, 100:] * np.sqrt(1 - rho**2)


def covered(totals, truth):
    return float(np.mean(np.abs(totals.rate - truth) <= quantile(0.05, totals.dof) * totals.error))


@pytest.mark.parametrize(
    ("intervals", "rho"),
    [(16, 0.0), (24, 0.3), (40, 0.0), (40, 0.3), (40, 0.5), (120, 0.5), (120, 0.7), (240, 0.7), (240, 0.85)],
)
def test_confidence_intervals_cover_95_percent(intervals, rho):
    random = np.random.default_rng(intervals)
    exposure = random.uniform(800, 1600, intervals)
    counts = 2.0 * exposure + 400 * correlated(random, 6000, intervals, rho)
    assert 0.93 <= covered(over_intervals(counts, exposure), 2.0) <= 0.97


def test_moving_average_noise():
    random = np.random.default_rng(3)
    counts = 500.0 + 100 * correlated(random, 6000, 40, 0, "ma")
    assert 0.93 <= covered(over_intervals(counts, np.ones(40)), 500.0) <= 0.97


def test_counts_of_independent_events():
    random = np.random.default_rng(4)
    exposure = random.uniform(0.2, 0.3, 40)
    counts = random.poisson(200 * exposure, (6000, 40)).astype(float)
    assert 0.93 <= covered(over_intervals(counts, exposure), 200.0) <= 0.97


def test_the_plain_variance_is_too_small():
    """The reason for the method."""
    random = np.random.default_rng(5)
    counts = 500.0 + 100 * correlated(random, 4000, 40, 0.7)
    plain = over_runs(counts, np.ones(40))
    assert covered(plain, 500.0) < 0.75


def test_runs_are_independent():
    random = np.random.default_rng(6)
    counts = random.normal(500.0, 60, (6000, 5))
    assert 0.94 <= covered(over_runs(counts, np.ones(5)), 500.0) <= 0.96


def test_cosines_are_orthonormal_and_ignore_the_mean():
    basis = cosines(40)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
    np.testing.assert_allclose(basis.sum(1), 0, atol=1e-12)
    assert [len(cosines(intervals)) for intervals in (1, 3, 4, 16, 240)] == [0, 0, 3, 4, 15]


def test_fast_and_slow_cosines_are_orthogonal():
    for intervals in (9, 12, 21, 40):
        basis = np.vstack((cosines(intervals), fast_cosines(intervals)))
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
        np.testing.assert_allclose(basis.sum(1), 0, atol=1e-12)
    assert [len(fast_cosines(intervals)) for intervals in (0, 1, 4, 8, 9, 12, 21, 240)] == [0, 0, 0, 0, 4, 7, 16, 16]


@pytest.mark.parametrize("intervals", [12, 40, 240])
def test_projections_separate_a_drift_from_the_variation_between_neighbours(intervals):
    random = np.random.default_rng(11)
    basis = np.vstack((cosines(intervals), fast_cosines(intervals)))

    def found(counts):
        return projected(counts.sum(1), counts @ basis.T, float(intervals), basis.sum(1), intervals)

    even = random.poisson(20, (4000, intervals)).astype(float)
    steady = found(even)
    assert np.mean(steady.short) == pytest.approx(np.mean(steady.variance), rel=0.05)
    assert np.mean(steady.short) == pytest.approx(20 * intervals, rel=0.05)
    rising = found(random.poisson(40 * np.linspace(0, 1, intervals), (4000, intervals)).astype(float))
    assert np.mean(rising.variance) > 5 * np.mean(steady.variance)
    assert np.mean(rising.short) == pytest.approx(20 * intervals, rel=0.15)


def test_projections_suffice_for_the_variance():
    random = np.random.default_rng(7)
    exposure, counts = random.uniform(1, 2, 240), random.poisson(50, (30, 240)).astype(float)
    basis = cosines(240)
    found = projected(counts.sum(1), counts @ basis.T, exposure.sum(), basis @ exposure, 240)
    np.testing.assert_allclose(found.rate, over_intervals(counts, exposure).rate)
    # Without prewhitening the variance is never larger.
    assert np.all(found.variance <= over_intervals(counts, exposure).variance * 1.0001)


def test_too_few_intervals_have_no_known_spread():
    assert over_intervals(np.ones((2, 3)), np.ones(3)).dof == 0
    assert over_runs(np.ones((2, 1)), np.ones(1)).dof == 0
