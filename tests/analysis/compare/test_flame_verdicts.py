"""The judge for flame-graph diffs: grey where it is noise, by intervals of time."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flamegraph.diff import DiffOptions, diff
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.verdicts import NothingKnown, Verdict
from netprobe.analysis.compare.flame_verdicts import IntervalJudge, halves_judge, judge_for
from netprobe.run.profile import read_profile

_SPEC = importlib.util.spec_from_file_location("made", Path(__file__).with_name("made.py"))
made = importlib.util.module_from_spec(_SPEC)


@pytest.fixture(scope="module", autouse=True)
def _made():
    import sys

    sys.modules["made"] = made
    _SPEC.loader.exec_module(made)


QUIET = {"unchanged", "noise", "inconclusive"}


def profile_of(server, seed, seconds=10.0):
    return read_profile(made.run_of(server, seed, seconds, int(4 * seconds)).tables)


def seen(found):
    boxes = {word for word, count in found.counts.items() if count}
    return boxes | {one.verdict.word for one in found.top(0)} | {one.own_verdict.word for one in found.top(0)}


@pytest.mark.parametrize("per", ["share", "second"])
def test_equal_recordings_are_grey(per):
    loud = []
    for seed in range(25):
        a, b = profile_of(made.Server(), seed), profile_of(made.Server(), 500 + seed)
        options = DiffOptions(per)
        if not seen(diff(a, b, replace(options, judge=judge_for(a, b, options)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_halves_of_one_recording_are_grey():
    loud = []
    for seed in range(25):
        whole = profile_of(made.Server(), seed, 20.0)
        a, b = whole.filter(time=(0, 9.9)), whole.filter(time=(10.1, 20))
        if not seen(diff(a, b, DiffOptions(judge=halves_judge(a, b)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_what_changed_has_its_colour():
    stack = ("main", "loop", "handle", "parse")
    changed = made.Server(stacks=made.STACKS | {stack: 0.8, ("main", "loop", "log"): 0.3})
    del changed.stacks["main", "loop", "epoll_wait"]
    a, b = profile_of(made.Server(), 1), profile_of(changed, 2)
    found = diff(a, b, DiffOptions(judge=judge_for(a, b)))
    verdicts = {one.frame.name: one.verdict for one in found.top(0)}
    assert verdicts["parse"] is Verdict.GROWN
    assert verdicts["log"] is Verdict.NEW
    assert verdicts["epoll_wait"] is Verdict.GONE
    assert verdicts["main"] in (Verdict.UNCHANGED, Verdict.NOISE)
    boxes = {found.tree.frames[frame].name: Verdict(int(verdict)) for frame, verdict in
             zip(found.tree.frame[1:], found.verdict[1:], strict=True)}  # fmt: skip
    assert boxes["parse"] is Verdict.GROWN
    assert boxes["log"] is Verdict.NEW
    assert boxes["main"] in (Verdict.UNCHANGED, Verdict.NOISE)


# nginx alone, sampled often, and the whole machine, sampled seldom, while another program came up: samples by interval.
CALLS = [46, 57, 52, 55, 57, 49, 39, 50, 37], [12, 15, 13, 15, 12, 8, 3, 8, 0, 5, 10, 2]
NEW = [0] * 9, [0, 4, 2, 11, 4, 13, 12, 10, 16, 13, 9, 11]
REST = [43, 36, 27, 39, 41, 41, 41, 29, 19], [14, 9, 14, 7, 14, 14, 19, 19, 17, 16, 17, 13]


def recorded(side, frequency, interval_s):
    rows = (CALLS[side], NEW[side], REST[side])
    counts = np.array(rows)
    stack, interval = np.nonzero(counts)
    count = counts[stack, interval]
    samples = Samples(stack, np.zeros(len(stack), np.int64), interval, count, count * (1e9 / frequency))
    frames = [Frame(name, "libc.so.6", Kind.USER) for name in ("writev", "write", "rest")]
    info = Info("cpu-clock", "ns", counts.shape[1] * interval_s, interval_s, counts.shape[1])
    return Profile(frames, Stacks(np.arange(4), np.arange(3)), [Thread(1, 1, "nginx")], samples, info)


def test_what_was_not_there_at_all_is_no_noise():
    """It became ever more: that drift is no reason to believe that a side without any has some."""
    a, b = recorded(0, 661, 0.1452), recorded(1, 99, 0.25)
    verdicts = {one.frame.name: one.verdict for one in diff(a, b, DiffOptions(judge=judge_for(a, b))).top(0)}
    assert verdicts["write"] is Verdict.NEW
    back = {one.frame.name: one.verdict for one in diff(b, a, DiffOptions(judge=judge_for(b, a))).top(0)}
    assert back["write"] is Verdict.GONE


def test_half_as_much_in_uneven_intervals_is_not_called_noise():
    a, b = recorded(0, 661, 0.1452), recorded(1, 99, 0.25)
    verdicts = {one.frame.name: one.verdict for one in diff(a, b, DiffOptions(judge=judge_for(a, b))).top(0)}
    assert verdicts["writev"] is Verdict.CANNOT_TELL
    assert verdicts["rest"] is Verdict.NOISE
    assert "twice as much or half" in str(judge_for(a, b))


@pytest.mark.parametrize("frequencies", [(999.0, 99.0), (99.0, 661.0)])
@pytest.mark.parametrize("per", ["share", "second"])
def test_equal_servers_sampled_at_other_rates_are_grey(per, frequencies):
    loud = []
    for seed in range(25):
        a, b = (
            profile_of(replace(made.Server(), frequency=frequency), first + seed, seconds)
            for frequency, first, seconds in zip(frequencies, (0, 500), (3.0, 5.0), strict=True)
        )
        options = DiffOptions(per)
        if not seen(diff(a, b, replace(options, judge=judge_for(a, b, options)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_without_time_nothing_can_be_told():
    a = profile_of(made.Server(), 1)
    timeless = replace(a, info=replace(a.info, interval_s=0.0, intervals=1))
    assert isinstance(judge_for(timeless, a), NothingKnown)
    assert isinstance(judge_for(a, a), IntervalJudge)
    assert "5 %" in str(judge_for(a, a))


def test_shares_of_heavier_samples_are_the_same_shares():
    """Waits that are twice as long on one side, all of them."""
    a, b = profile_of(made.Server(), 1), profile_of(made.Server(), 2)
    heavier = replace(b, samples=replace(b.samples, weight=2 * b.samples.weight))
    assert seen(diff(a, heavier, DiffOptions(judge=judge_for(a, heavier)))) <= QUIET
