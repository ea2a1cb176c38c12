import pytest

from flamegraph.names import fold_names


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["timer-0", "timer-1"], ["timer-N", "timer-N"]),
        (["timer-0"], ["timer-0"]),
        (["python3", "python3"], ["python3", "python3"]),
        (["io4", "io17", "iou"], ["ioN", "ioN", "iou"]),
        (["1", "2"], ["1", "2"]),
        (["a1b2", "a1b3"], ["a1bN", "a1bN"]),
        (["reactor-0", "timer-0"], ["reactor-0", "timer-0"]),
        (["kworker/0:1", "kworker/u8:3-events"], ["kworker/N", "kworker/N"]),
        (["kworker/0:1"], ["kworker/N"]),
        (["ksoftirqd/0", "ksoftirqd/1"], ["ksoftirqd/N", "ksoftirqd/N"]),
        (["", "x"], ["", "x"]),
        (["x\n1", "x\n2"], ["x\nN", "x\nN"]),
        (["t٣", "t٤"], ["tN", "tN"]),
    ],
)
def test_fold(names, folded):
    found = fold_names(names)
    assert [found[name] for name in names] == folded


def test_each_name_once():
    assert set(fold_names(iter(["a", "a", "b1"]))) == {"a", "b1"}


def test_long_names_of_digits_are_fast():
    assert fold_names(["9" * 50_000])
