"""What another user's processes have open is not shown to everybody, which is said and not taken for nothing."""

import os
from collections.abc import Iterator

import pytest

from netprobe.engine.descriptors import read_descriptors, unreadable

NOBODY = 65534


@pytest.fixture
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user for a while")
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


def test_ones_own():
    assert unreadable([os.getpid()]) == []


def test_a_process_that_is_gone():
    assert unreadable([4_194_305]) == []


@pytest.mark.usefixtures("_as_nobody")
def test_another_users():
    assert read_descriptors(1).sockets == {}
    (said,) = unreadable([1])
    assert "(1)" in said
    assert "CAP_DAC_READ_SEARCH" in said
