"""The steps of the scenario as they are defined."""

import os
from dataclasses import asdict

import pytest

from netprobe.errors import NetprobeError
from netprobe.lab import scenario
from netprobe.rules.registry import all_rules

TWO = scenario.steps(2)


def changed(name: str) -> set[str]:
    """Options that differ from the step before, or from the step that is varied."""
    (step,) = [one for one in TWO if one.name == name]
    base = next(one for one in TWO if one.name == step.variant_of) if step.is_variant else TWO[TWO.index(step) - 1]
    now, before = asdict(step.server), asdict(base.server)
    return {key for key in now if now[key] != before[key]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("steered", {"cpus", "steer", "listen_order"}),
        ("ordered", {"listen_order"}),
        ("waiting", {"epoll_timeout_us"}),
        ("quota", {"quota_timer_us"}),
        ("recv", {"receive"}),
        ("flush", {"flush"}),
        ("polling", {"busy_poll_us", "prefer"}),
        ("io_uring", {"backend", "epoll_timeout_us"}),
        ("pre-fork", {"processes"}),
    ],
)
def test_each_step_changes_one_thing(name, options):
    assert changed(name) == options


def test_only_the_last_step_defers_interrupts():
    assert [one.name for one in TWO if one.deferred] == ["polling"]


def test_fault_of_each_step_is_the_code_of_a_rule():
    known = {rule.CODE for rule in all_rules()}
    faults = [one.fault for one in TWO if not one.is_variant]
    assert faults[-1] == ""
    assert set(faults[:-1]) <= known
    assert len(set(faults)) == len(faults) == 8


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_one_cpu_is_refused():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        with pytest.raises(NetprobeError, match="at least two CPUs"):
            scenario.reactors()
    finally:
        os.sched_setaffinity(0, before)
    assert scenario.reactors() >= 2
