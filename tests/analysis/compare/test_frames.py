"""The judge for flame-graph diffs: grey where it is noise, by blocks of time."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from flamegraph.diff import DiffOptions, diff
from flamegraph.verdicts import NothingKnown, Verdict
from netprobe.analysis.compare.frames import BlockJudge, halves_judge, judge_for
from netprobe.run.profile import read_profile

_SPEC = importlib.util.spec_from_file_location("made", Path(__file__).with_name("made.py"))
made = importlib.util.module_from_spec(_SPEC)


@pytest.fixture(scope="module", autouse=True)
def _made():
    import sys

    sys.modules["made"] = made
    _SPEC.loader.exec_module(made)


QUIET = {"unchanged", "noise", "cannot tell"}


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


def test_without_time_nothing_can_be_told():
    a = profile_of(made.Server(), 1)
    timeless = replace(a, info=replace(a.info, block_s=0.0, blocks=1))
    assert isinstance(judge_for(timeless, a), NothingKnown)
    assert isinstance(judge_for(a, a), BlockJudge)
    assert "5 %" in str(judge_for(a, a))


def test_shares_of_heavier_samples_are_the_same_shares():
    """Waits that are twice as long on one side, all of them."""
    a, b = profile_of(made.Server(), 1), profile_of(made.Server(), 2)
    heavier = replace(b, samples=replace(b.samples, weight=2 * b.samples.weight))
    assert seen(diff(a, heavier, DiffOptions(judge=judge_for(a, heavier)))) <= QUIET
