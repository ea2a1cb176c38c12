"""Lower confidence limits of shares with few samples, by simulation: they hold in 95 % of draws."""

import numpy as np
import pytest

from netprobe.analysis.confidence import share_at_least, wilson_pct


@pytest.mark.parametrize(("share", "samples"), [(0.3, 60), (0.5, 30), (0.9, 200)])
def test_the_share_is_at_least_that(share, samples):
    drawn = np.random.default_rng(1).binomial(samples, share, 20_000)
    bounds = [share_at_least(part, samples) for part in range(samples + 1)]
    held = np.mean(np.array(bounds)[drawn] <= share)
    assert 0.93 <= held <= 0.98


def test_bounds():
    assert share_at_least(0, 10) == pytest.approx(0)
    assert share_at_least(0, 0) == 0.0
    assert 0.75 < share_at_least(10, 10) < 0.85


def test_a_share_lies_inside_its_interval_whatever_the_rounding():
    for total in range(1, 400):
        for count in {0, 1, total // 3, total - 1, total}:
            share = wilson_pct(count, total)
            assert 0 <= share.low <= share.value <= share.high <= 100, (count, total)
