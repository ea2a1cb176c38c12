"""Regressions of a gate: the direction that is worse, and calls that only replace others."""

import numpy as np
import pytest

from netprobe.analysis.compare.change import Change
from netprobe.analysis.compare.metrics import Metric, family_of, with_families
from netprobe.analysis.compare.regressions import regressions, worse

VOLUNTARY = Metric("switches", "voluntary switches", "reactor-N", unit="switches")
WAIT = Metric("system calls", "epoll_wait", "reactor-N", unit="calls")
ZERO = Metric("timeouts", "epoll_wait", "reactor-N", "with timeout zero", unit="calls")


def rows(**counts):
    metrics = {"voluntary": VOLUNTARY, "waits": WAIT, "zero": ZERO}
    return {metrics[name]: (np.array([float(count)]), None) for name, count in counts.items()}


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        (WAIT, "more"),
        (ZERO, "more"),
        (Metric("timeouts", "epoll_wait", "reactor-N", "with timeout infinite"), ""),
        (Metric("timeouts", "epoll_wait", "", "mean positive timeout", "mean", "ns"), ""),
        (Metric("preemptions", "preempted", "reactor-N", "by timer-N"), "more"),
        (Metric("machine", "switches, whole machine", unit="switches"), "more"),
        (Metric("machine", "forks, whole machine", unit="forks", by_others=True), ""),
        (Metric("load", "requests served", of="mean", unit="requests"), "less"),
        (Metric("load", "latency", detail="p99", of="mean", unit="ns"), "more"),
        (Metric("packets", "packets by softirq, whole machine"), ""),
        (Metric("busy polling", "busy-poll attempts"), ""),
    ],
)
def test_direction_that_is_worse(metric, direction):
    assert worse(metric, {}) == direction


@pytest.mark.parametrize(
    ("counts", "direction"),
    [
        ({"voluntary": 70, "waits": 100}, ""),
        ({"voluntary": 170, "waits": 100}, "more"),
        # Waits that return immediately explain no switch.
        ({"voluntary": 70, "waits": 100, "zero": 90}, "more"),
        ({"voluntary": 70}, "more"),
        ({"waits": 100}, "more"),
    ],
)
def test_waits_for_work_are_no_cost(counts, direction):
    assert worse(VOLUNTARY, rows(**counts)) == direction


def change(group, name, rate_a, rate_b, worse="more", family="", unit=""):
    verdict = "new" if not rate_a else "gone" if not rate_b else "more" if rate_b > rate_a else "less"
    pct = 100 * (rate_b / rate_a - 1) if rate_a else None
    return Change(
        "metric",
        group,
        name,
        "",
        "",
        unit,
        "request",
        worse,
        family,
        rate_a,
        rate_b,
        0,
        0,
        pct,
        pct,
        pct,
        0,
        verdict,
        1,
    )


def names(*changes, percent=0.0):
    return [one.name for one in regressions(changes, percent)]


def test_another_call_of_a_family_is_no_regression():
    new = change("system calls", "recvfrom", 0, 1, family="receives")
    assert names(new, change("system calls", "receives", 1, 0.9)) == []
    assert names(new, change("system calls", "receives", 0.5, 1)) == ["recvfrom", "receives"]
    assert names(new) == ["recvfrom"]


def test_less_throughput_and_less_locality_are_worse():
    served = change("load", "requests served", 1000, 355, "less")
    assert names(served) == ["requests served"]
    assert names(served, percent=70) == []
    assert names(change("load", "requests served", 355, 1000, "less")) == []
    local = change("locality", "local", 90, 80, "less", unit="%")
    assert names(local, percent=10) == ["local"]
    assert names(local, percent=11) == []


def test_waits_of_the_target_explain_switches_of_the_machine():
    machine = change("machine", "switches, whole machine", 1, 1.4)
    assert names(machine) == ["switches, whole machine"]
    assert names(machine, change("switches", "voluntary switches", 0.1, 0.35, worse="")) == []
    assert names(machine, change("switches", "voluntary switches", 0.1, 0.2, worse="")) == ["switches, whole machine"]


def test_families_of_calls_and_of_timeouts():
    assert family_of(ZERO) == Metric("timeouts", "epoll waits of any form", "reactor-N", ZERO.detail, unit="calls")
    assert family_of(VOLUNTARY) is None
    read, recv = (Metric("system calls", name, unit="calls") for name in ("read", "recvfrom"))
    before, after = with_families({read: (np.array([3.0]), None)}, {recv: (np.array([5.0]), None)})
    (family,) = before.keys() & after.keys()
    assert family.name == "receives and reads of any form"
    assert (before[family][0].tolist(), after[family][0].tolist()) == ([3.0], [5.0])
    # Without a member on one side, no call was replaced.
    assert with_families({}, {recv: (np.array([5.0]), None), read: (np.array([5.0]), None)})[0] == {}
