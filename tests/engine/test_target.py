import pytest

from netprobe.engine.target import cpu_list
from netprobe.engine.tasks import Task, processes_named, processes_numbered, with_descendants
from netprobe.errors import NetprobeError
from netprobe.probes.kernel_text import kernel_text


@pytest.mark.parametrize(
    ("cpus", "text"),
    [
        ([], ""),
        ([0], "0"),
        ([0, 1], "0-1"),
        ([0, 1, 2, 3, 8], "0-3,8"),
        ([1, 3, 5], "1,3,5"),
        ([0, 2, 3, 4, 9, 10], "0,2-4,9-10"),
        (range(128), "0-127"),
    ],
)
def test_cpu_list(cpus, text):
    assert cpu_list(cpus) == text


def task(tid: int, tgid: int, parent: int, name: bytes = b"x", offset: int = 0) -> Task:
    return Task(tid, tgid, parent, tid - offset, tgid - offset, name)


FAMILY = [
    task(1, 1, 0, b"init"),
    task(10, 10, 1, b"web"),
    task(11, 10, 1, b"io-0"),
    task(20, 20, 10, b"worker"),
    task(30, 30, 20, b"cgi"),
    task(40, 40, 1, b"other"),
]


def test_descendants():
    assert with_descendants(FAMILY, {10}) == {10, 20, 30}
    assert with_descendants(FAMILY, {30, 40}) == {30, 40}
    assert with_descendants(FAMILY, set()) == set()
    assert with_descendants(FAMILY, {1}) == {1, 10, 20, 30, 40}


def test_a_cycle_of_parents_ends():
    assert with_descendants([task(1, 1, 2), task(2, 2, 1)], {1}) == {1, 2}


def test_processes_by_pid():
    assert processes_numbered(FAMILY, (10, 40)) == {10, 40}
    with pytest.raises(NetprobeError, match="no process 4194301"):
        processes_numbered(FAMILY, (10, 4194301))
    with pytest.raises(NetprobeError, match="thread of process 10") as error:
        processes_numbered(FAMILY, (11,))
    assert "-p 10" in error.value.hint


def test_pids_are_those_of_the_own_namespace():
    inside = [task(1010, 1010, 1001, b"web", offset=1000)]
    assert processes_numbered(inside, (10,)) == {1010}


def test_processes_by_name():
    assert processes_named(FAMILY, "io-0") == {10}
    assert processes_named(FAMILY, "nobody") == set()
    long = [task(5, 5, 1, b"fifteen-charact")]
    assert processes_named(long, "fifteen-characters") == {5}


def test_names_that_are_not_utf8():
    odd = [task(5, 5, 1, b"bad\xff")]
    assert processes_named(odd, "bad\udcff") == {5}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"nginx\0\0", "nginx"),
        (b"", ""),
        (b"a\0b", "a"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("ä".encode(), "ä"),
        (b"x\xc3", "x\\xc3"),
    ],
)
def test_kernel_text(raw, text):
    assert kernel_text(raw) == text
