"""The test of one difference, and the family of all tests: sizes by simulation and against exact tests."""

import math
from dataclasses import replace

import numpy as np
import pytest

from netprobe.analysis.compare.significance import compare, first_threshold, threshold
from netprobe.analysis.compare.variance import RateTotals, cosines, fast_cosines, over_intervals, projected

NO_LOAD = (np.ones(1), np.ones(1))
# Independent events with a known variance.
SURE = 100_000


def side(*counts, exposure=1.0):
    values = np.array(counts, float)
    return RateTotals(values, np.full(len(values), exposure), values.copy(), SURE)


def load(low, high, rows=1):
    return np.full(rows, low), np.full(rows, high)


def binomial_p(few, many):
    """Exact two-sided sign test."""
    total = few + many
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(few + 1)) / 2**total)


@pytest.mark.parametrize(("few", "many"), [(0, 5), (0, 10), (0, 20), (5, 20), (30, 60), (100, 150)])
def test_p_agrees_with_the_exact_test(few, many):
    p = float(compare(side(few), side(many), np.full(1, 1e-4), NO_LOAD).p[0])
    assert 0.5 <= p / binomial_p(few, many) <= 2.0


def test_symmetry():
    one = compare(side(120), side(200), np.full(1, 0.1), NO_LOAD)
    other = compare(side(200), side(120), np.full(1, 0.1), NO_LOAD)
    assert one.p == pytest.approx(other.p)
    assert one.low * other.high == pytest.approx(1.0)


@pytest.mark.parametrize("tau", [0.01, 0.1, 0.4])
def test_size_with_run_to_run_variation(tau):
    """Recordings of the same server, each with its own rate: 5 % have p < 0.05."""
    random = np.random.default_rng(8)
    rows = 8000
    sides = []
    for length in (16, 40):
        mean = 400 * np.exp(random.normal(0, tau, rows))
        counts = random.poisson(mean[:, None], (rows, length)).astype(float)
        sides.append(over_intervals(counts, np.ones(length)))
    p = compare(*sides, np.full(rows, tau), load(1, 1, rows)).p
    assert np.mean(p < 0.05) <= 0.06
    assert np.mean(p < 0.001) <= 0.003


def sampled(random, weights, intervals, weight):
    """Samples per function with this weight each, and a mean weight per interval."""
    counts = weight * random.poisson(np.outer(weights / weight, np.ones(intervals)))
    basis = np.vstack((cosines(intervals), fast_cosines(intervals)))
    found = projected(counts.sum(1), counts @ basis.T, float(intervals), basis.sum(1), intervals)
    return replace(found, event=weight)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.35, 2.3), (2.3, 0.35)])
@pytest.mark.parametrize("mean", [2.0, 20.0])
def test_size_of_samples_at_different_rates(weights, mean):
    random = np.random.default_rng(12)
    rows = np.full(8000, mean)
    sides = [sampled(random, rows, intervals, weight) for intervals, weight in zip((9, 12), weights, strict=True)]
    p = compare(*sides, np.full(8000, 0.01), load(1, 1, 8000)).p
    assert np.mean(p < 0.05) <= 0.06
    assert np.mean(p < 0.001) <= 0.003


def test_new_and_gone_are_certain():
    found = compare(side(0, 200_000), side(200_000, 0), np.full(2, 0.01), load(1, 1, 2))
    assert np.all(found.p < 1e-20)


def test_a_burst_is_one_event():
    """16 accepts in one interval of one recording, none in the other."""
    burst = np.zeros((1, 40))
    burst[0, 7] = 16
    before, after = (over_intervals(counts, np.ones(40)) for counts in (burst, 0 * burst))
    found = compare(before, after, np.full(1, 0.01), NO_LOAD)
    assert found.p[0] > 0.01


def test_a_burst_of_samples_is_one_event():
    basis = np.vstack((cosines(40), fast_cosines(40)))
    burst = 60 * np.eye(40)
    before = projected(burst.sum(1), burst @ basis.T, 40.0, basis.sum(1), 40)
    after = replace(before, count=np.zeros(40), variance=np.zeros(40), short=np.zeros(40))
    assert np.all(compare(before, after, np.full(40, 0.01), load(1, 1, 40)).p > 0.01)


@pytest.mark.parametrize(("ratio", "explained"), [(1.0, True), (0.9, True), (0.8, True), (0.6, False), (1.3, False)])
def test_ratios_that_load_explains(ratio, explained):
    """Per request, with 25 % more load: from the same down to 0.8 times as much."""
    found = compare(side(1e6), side(1e6 * ratio), np.full(1, 0.005), load(0.8, 1.0))
    assert bool(found.p[0] > 0.5) is explained


def test_the_smallest_detectable_growth_is_detected():
    """With the stated power: four out of five such changes are significant."""
    random = np.random.default_rng(9)
    rows, tau, limit = 6000, 0.05, 1e-3
    before = over_intervals(
        random.poisson(100 * np.exp(random.normal(0, tau, (rows, 1))), (rows, 40)) * 1.0, np.ones(40)
    )
    growth = np.median(compare(before, before, np.full(rows, tau), load(1, 1, rows)).smallest_detectable_growth(limit))
    mean = 100 * (1 + growth) * np.exp(random.normal(0, tau, (rows, 1)))
    after = over_intervals(random.poisson(mean, (rows, 40)) * 1.0, np.ones(40))
    seen = np.mean(compare(before, after, np.full(rows, tau), load(1, 1, rows)).p < limit)
    assert 0.7 <= seen <= 0.95


def test_an_unknown_spread_is_not_zero():
    empty = RateTotals(np.ones(1), np.ones(1), np.zeros(1), 0)
    assert np.isnan(compare(empty, side(5), np.full(1, 0.1), NO_LOAD).p[0])


# ---- The family ----


def test_published_procedure():
    p = np.array([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
                  0.6528, 0.7590, 1.0000])  # fmt: skip
    # The example of Benjamini and Hochberg (1995): 4 by their procedure at 5 %, 3 by that of 2001.
    assert np.sum(p <= threshold(p)) == 3
    assert threshold(np.array([])) == 0.0
    assert threshold(np.array([0.9])) == 0.0
    assert first_threshold(1) == pytest.approx(0.05)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_false_discoveries_stay_below_5_percent(shared):
    """Of all discoveries, with a tenth of real changes, also when all comparisons depend on each other."""
    random = np.random.default_rng(10)
    shares = []
    for _ in range(1500):
        common = random.normal()
        z = math.sqrt(1 - shared) * random.normal(size=200) + math.sqrt(shared) * common * random.choice([-1, 1], 200)
        z[:20] += 5
        p = np.array([math.erfc(abs(value) / math.sqrt(2)) for value in z])
        found = p <= threshold(p)
        shares.append(found[20:].sum() / max(found.sum(), 1))
    assert np.mean(shares) <= 0.05
