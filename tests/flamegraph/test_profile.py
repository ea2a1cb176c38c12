"""Operations of a Profile."""

import re
from dataclasses import replace

import pytest

from flamegraph.builder import Builder
from flamegraph.frames import Frame, Thread
from flamegraph.profile import Info
from flamegraph.tree import top


@pytest.fixture
def profile():
    builder = Builder()
    main, work = builder.frame(Frame("main")), builder.frame(Frame("work"))
    here, other = builder.thread(Thread(1, 1, "reactor-0")), builder.thread(Thread(1, 2, "reactor-1"))
    builder.add(builder.stack([main, work]), here, 0, count=2, weight=2)
    builder.add(builder.stack([main]), other, 1, count=3, weight=3)
    return builder.profile(Info(seconds=2, interval_s=1, intervals=2))


def test_filter(profile):
    assert profile.filter(frame="work").count == 2
    assert profile.filter(thread="reactor-1").count == 3
    assert profile.filter(frame=re.compile("^w").search).count == 2
    assert profile.filter(time=(0, 1)).count == 2
    assert profile.filter(thread="nobody").count == 0


@pytest.mark.parametrize("pick", [re.compile("work"), 3])
def test_a_selector_of_a_wrong_type_is_refused(profile, pick):
    """An empty selection is not read as the whole profile."""
    with pytest.raises(TypeError, match="neither a name nor a function"):
        profile.filter(frame=pick)


def test_a_time_range_is_a_separate_recording(profile):
    whole = replace(profile, info=replace(profile.info, lost=3, truncated=2))
    late = whole.filter(time=(1, 9))
    assert (late.info.seconds, late.info.intervals, late.samples.interval.tolist()) == (1, 1, [0])
    assert (late.info.lost, late.info.truncated) == (0, 0)
    assert late.info.notes == (
        "Part of the recording: seconds 1 to 2 of 2. In total 3 samples were lost and 2 stacks truncated.",
    )
    assert whole.filter(time=(0, float("inf"))).info == whole.info
    assert whole.filter(time=(2, 9)).count == 0


@pytest.mark.parametrize("tenths", range(1, 40))
def test_ends_of_intervals_are_exact(profile, tenths):
    """0.3 / 0.1 is less than 3 in floating point."""
    whole = replace(profile, info=Info(seconds=4, interval_s=0.1, intervals=40))
    assert whole.filter(time=(tenths / 10, 4)).info.intervals == 40 - tenths
    assert whole.filter(time=(0, tenths / 10)).info.intervals == tenths


def test_fold_threads(profile):
    assert {thread.comm for thread in profile.fold_threads().threads} == {"reactor-N"}


def test_to_frame(profile):
    rows = profile.to_frame()
    assert rows["weight_samples"].sum() == profile.total == 5
    assert set(rows["stack"]) == {"main;work", "main"}
    assert rows["start_s"].tolist() == [0.0, 1.0]


def test_recursive_calls_count_once():
    builder = Builder()
    again = builder.frame(Frame("again"))
    builder.add(builder.stack([again, again, again]), builder.thread(Thread(1, 1, "x")))
    (row,) = top(builder.profile(Info()))
    assert (row.self_weight, row.total_weight) == (1, 1)
