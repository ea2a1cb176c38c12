"""Differences to the previous snapshot, compared with a dictionary."""

import numpy as np

from netprobe.engine.counting import KeyedSnapshot


def look(totals, now):
    keys = np.array([key for key, _ in now], np.uint32).reshape(-1, 3)
    counts = np.array([count for _, count in now], np.uint64).reshape(-1, 2)
    return totals.replace(keys, counts).tolist()


def test_differences_equal_those_of_a_dictionary():
    random = np.random.default_rng(3)
    totals, before, state = KeyedSnapshot(3, 2), {}, {}
    for _ in range(50):
        for key in random.integers(0, 6, (40, 3)).tolist():
            state[tuple(key)] = [state.get(tuple(key), [0, 0])[i] + int(random.integers(0, 5)) for i in range(2)]
        # A look may miss keys, and gives them in any order.
        now = [(key, state[key]) for key in sorted(state, key=lambda _: random.random()) if random.random() < 0.9]
        expected = [
            [count - old for count, old in zip(counts, before.get(key, [0, 0]), strict=True)] for key, counts in now
        ]
        assert look(totals, now) == expected
        before.update({key: list(counts) for key, counts in now})
        if random.random() < 0.2:
            slot = int(random.integers(0, 6))
            gone = {tuple(key) for key in totals.reset([slot]).tolist()}
            assert gone == {key for key in before if key[0] == slot}
            for key in gone:
                before.pop(key), state.pop(key, None)


def test_no_keys():
    totals = KeyedSnapshot(3, 2)
    assert look(totals, []) == []
    assert len(totals.reset([])) == len(totals.reset([1])) == 0
    assert look(totals, [((1, 2, 3), (4, 5))]) == [[4, 5]]
    assert look(totals, []) == []
    assert look(totals, [((1, 2, 3), (6, 5))]) == [[2, 0]]
