"""Overlapping ranges, compared with a linear search."""

import random

import numpy as np
import pytest

from flamegraph.symbols.ranges import Ranges


@pytest.mark.parametrize("seed", range(30))
def test_the_later_of_two_overlapping_ranges_takes_precedence(seed):
    chance = random.Random(seed)
    count = chance.choice((0, 1, 5, 60))
    start = [chance.randrange(200) for _ in range(count)]
    end = [at + chance.choice((0, 1, 3, 40, 150, -5)) for at in start]
    end = [max(one, 0) for one in end]
    addresses = np.arange(400, dtype=np.uint64)
    wanted = [max((i for i in range(count) if start[i] <= at < end[i]), default=-1) for at in range(400)]
    assert Ranges(np.array(start, np.uint64), np.array(end, np.uint64)).find(addresses).tolist() == wanted
