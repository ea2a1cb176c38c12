"""The steps as they are defined, and load in rounds from real servers."""

import os
import socket
import subprocess
from dataclasses import asdict

import pytest

from netprobe.lab import scenario
from netprobe.lab.errors import LabError
from netprobe.lab.load import Load, read_results, run_round, write_order
from netprobe.lab.server import Server, ServerOptions
from netprobe.rules.registry import all_rules

TWO = scenario.steps(2)


def changed(name: str) -> set[str]:
    """Options that differ from the step below, or from the one that is varied."""
    (step,) = [one for one in TWO if one.name == name]
    below = next(one for one in TWO if one.name == step.varies) if step.beside else TWO[TWO.index(step) - 1]
    now, before = asdict(step.server), asdict(below.server)
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
def test_one_thing_changes(name, options):
    assert changed(name) == options


def test_only_the_highest_step_defers():
    assert [one.name for one in TWO if one.deferred] == ["polling"]


def test_faults_are_rules():
    known = {rule.CODE for rule in all_rules()}
    faults = [one.fault for one in TWO if not one.beside]
    assert faults[-1] == ""
    assert set(faults[:-1]) <= known
    assert len(set(faults)) == len(faults) == 8


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_one_cpu_is_too_few():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        with pytest.raises(LabError, match="at least two CPUs"):
            scenario.reactors()
    finally:
        os.sched_setaffinity(0, before)
    assert scenario.reactors() >= 2


@pytest.mark.parametrize(
    "options", [{"backend": "io_uring"}, {"processes": 2}, {"flush": "batched", "receive": "read"}]
)
def test_a_round_counts_what_the_server_served(options):
    """Every request that wrk counts was served; the server may have served those that wrk did not wait for."""
    generators = ("0", "")
    with Server(ServerOptions(**options)) as server:
        one = run_round(Load(f"http://127.0.0.1:{server.port}/", 1, generators, connections=4))
    served = sum(counts.requests for counts in server.counts.values())
    assert one.requests <= served <= one.requests + 4 * len(generators)
    assert one.errors == 0
    assert one.seconds > 0.9
    assert one.percentile(50) <= one.percentile(99) <= one.percentile(99.99)


def test_an_order_is_carried_out(tmp_path):
    order = tmp_path / "order.json"
    with Server(ServerOptions()) as server:
        command = write_order(order, Load(f"http://127.0.0.1:{server.port}/", connections=2), 2)
        with pytest.raises(LabError, match="did not finish"):
            read_results(order)
        subprocess.run(command, check=True, timeout=30)
    results = read_results(order)
    assert len(results) == 2
    assert sum(one.requests for one in results) <= sum(counts.requests for counts in server.counts.values())
    assert results[0].started < results[1].started


def test_an_order_that_fails_says_why(tmp_path):
    order = tmp_path / "order.json"
    assert subprocess.run(write_order(order, Load("http://127.0.0.1:1/"), 1), check=False, timeout=30).returncode == 1
    with pytest.raises(LabError, match="wrk failed"):
        read_results(order)


def test_a_server_that_says_nothing_useful(tmp_path):
    """wrk itself ends well when it got no answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(LabError, match="answered nothing"):
        run_round(Load(f"http://127.0.0.1:{silent.getsockname()[1]}/", connections=1))
