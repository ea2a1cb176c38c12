"""Descriptors of processes; those of other users cannot be read, which is reported."""

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


def test_own_process():
    assert unreadable([os.getpid()]) == []


def test_a_process_that_has_ended():
    assert unreadable([4_194_305]) == []


@pytest.mark.usefixtures("_as_nobody")
def test_a_process_of_another_user_is_reported():
    assert read_descriptors(1).sockets == {}
    (said,) = unreadable([1])
    assert "(1)" in said
    assert "CAP_DAC_READ_SEARCH" in said
