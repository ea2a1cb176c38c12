"""The verdict rule for flame graph diffs: frames within the noise of the time intervals are grey."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flamegraph.diff import DiffOptions, diff
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.verdicts import UnknownNoise, Verdict
from netprobe.analysis.compare.flame_verdicts import IntervalRule, verdict_rule, verdict_rule_within_recording
from netprobe.run.profile import read_profile

_SPEC = importlib.util.spec_from_file_location("generated", Path(__file__).with_name("generated.py"))
generated = importlib.util.module_from_spec(_SPEC)


@pytest.fixture(scope="module", autouse=True)
def _generated():
    import sys

    sys.modules["generated"] = generated
    _SPEC.loader.exec_module(generated)


QUIET = {"unchanged", "noise", "inconclusive"}


def profile_of(server, seed, seconds=10.0):
    return read_profile(generated.run_of(server, seed, seconds, int(4 * seconds)).tables)


def seen(found):
    frames = {word for word, count in found.counts.items() if count}
    return frames | {one.verdict.word for one in found.top(0)} | {one.self_verdict.word for one in found.top(0)}


@pytest.mark.parametrize("per", ["share", "second"])
def test_equal_recordings_are_grey(per):
    loud = []
    for seed in range(25):
        a, b = profile_of(generated.Server(), seed), profile_of(generated.Server(), 500 + seed)
        options = DiffOptions(per)
        if not seen(diff(a, b, replace(options, rule=verdict_rule(a, b, options)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_halves_of_one_recording_are_grey():
    loud = []
    for seed in range(25):
        whole = profile_of(generated.Server(), seed, 20.0)
        a, b = whole.filter(time=(0, 9.9)), whole.filter(time=(10.1, 20))
        if not seen(diff(a, b, DiffOptions(rule=verdict_rule_within_recording(a, b)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_changed_frames_are_coloured():
    stack = ("main", "loop", "handle", "parse")
    changed = generated.Server(stacks=generated.STACKS | {stack: 0.8, ("main", "loop", "log"): 0.3})
    del changed.stacks["main", "loop", "epoll_wait"]
    a, b = profile_of(generated.Server(), 1), profile_of(changed, 2)
    found = diff(a, b, DiffOptions(rule=verdict_rule(a, b)))
    verdicts = {one.frame.name: one.verdict for one in found.top(0)}
    assert verdicts["parse"] is Verdict.GROWN
    assert verdicts["log"] is Verdict.NEW
    assert verdicts["epoll_wait"] is Verdict.GONE
    assert verdicts["main"] in (Verdict.UNCHANGED, Verdict.NOISE)
    frames = {found.tree.frames[frame].name: Verdict(int(verdict)) for frame, verdict in
             zip(found.tree.frame[1:], found.verdict[1:], strict=True)}  # fmt: skip
    assert frames["parse"] is Verdict.GROWN
    assert frames["log"] is Verdict.NEW
    assert frames["main"] in (Verdict.UNCHANGED, Verdict.NOISE)


# Samples per interval: nginx alone, sampled often; the whole machine, sampled seldom, while another program started.
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


def test_new_and_gone_frames_are_not_noise():
    """The count increased during the recording: that drift does not explain its absence on the other side."""
    a, b = recorded(0, 661, 0.1452), recorded(1, 99, 0.25)
    verdicts = {one.frame.name: one.verdict for one in diff(a, b, DiffOptions(rule=verdict_rule(a, b))).top(0)}
    assert verdicts["write"] is Verdict.NEW
    back = {one.frame.name: one.verdict for one in diff(b, a, DiffOptions(rule=verdict_rule(b, a))).top(0)}
    assert back["write"] is Verdict.GONE


def test_half_the_rate_in_uneven_intervals_is_inconclusive():
    a, b = recorded(0, 661, 0.1452), recorded(1, 99, 0.25)
    verdicts = {one.frame.name: one.verdict for one in diff(a, b, DiffOptions(rule=verdict_rule(a, b))).top(0)}
    assert verdicts["writev"] is Verdict.INCONCLUSIVE
    assert verdicts["rest"] is Verdict.NOISE
    assert "doubled or halved" in str(verdict_rule(a, b))


@pytest.mark.parametrize("frequencies", [(999.0, 99.0), (99.0, 661.0)])
@pytest.mark.parametrize("per", ["share", "second"])
def test_equal_servers_sampled_at_different_rates_are_grey(per, frequencies):
    loud = []
    for seed in range(25):
        a, b = (
            profile_of(replace(generated.Server(), frequency=frequency), first + seed, seconds)
            for frequency, first, seconds in zip(frequencies, (0, 500), (3.0, 5.0), strict=True)
        )
        options = DiffOptions(per)
        if not seen(diff(a, b, replace(options, rule=verdict_rule(a, b, options)))) <= QUIET:
            loud.append(seed)
    assert len(loud) <= 1


def test_without_time_all_verdicts_are_inconclusive():
    a = profile_of(generated.Server(), 1)
    timeless = replace(a, info=replace(a.info, interval_s=0.0, intervals=1))
    assert isinstance(verdict_rule(timeless, a), UnknownNoise)
    assert isinstance(verdict_rule(a, a), IntervalRule)
    assert "5 %" in str(verdict_rule(a, a))


def test_shares_of_heavier_samples_are_the_same_shares():
    """All waits are twice as long on one side."""
    a, b = profile_of(generated.Server(), 1), profile_of(generated.Server(), 2)
    heavier = replace(b, samples=replace(b.samples, weight=2 * b.samples.weight))
    assert seen(diff(a, heavier, DiffOptions(rule=verdict_rule(a, heavier)))) <= QUIET
