"""`netprobe lab scenario` in short form: on each step the right fault is named, and on the next it is gone."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netprobe import load
from netprobe.lab import namespaces

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
    pytest.mark.timing("gains between steps are measured under load on two shared CPUs"),
]
ROUNDS, RECORDED_S = 2, 1
# The fault that each step has and the next one fixes; what else is named there comes from steps further up.
FAULTS = [
    "reuseport-unsteered", "reuseport-order", "epoll-zero-timeout", "timer-thread-switching", "read-on-sockets",
    "flush-batched", "busy-poll-softirq-first",
]  # fmt: skip
NAMES = ["stock", "steered", "ordered", "waiting", "quota", "recv", "flush", "polling", "io_uring", "pre-fork"]
# Two CPUs serve the tests and whoever else works on this machine: competitors from outside are no fault of the lab's.
FROM_OUTSIDE = {"reactor-preempted"}


class Climbs:
    """The whole scenario, climbed once for the first try of all tests, and once more for those that are repeated."""

    def __init__(self, netprobe: Callable[..., Any], place: Path) -> None:
        self._netprobe, self._place = netprobe, place
        self._done: dict[int, tuple[dict, Path]] = {}

    def number(self, attempt: int) -> tuple[dict, Path]:
        """What was printed, and the folder."""
        if attempt not in self._done:
            folder = self._place / f"scenario-{attempt}"
            options = ["--rounds", ROUNDS, "--recorded", RECORDED_S, "--json", "-o", folder]
            self._done[attempt] = self._netprobe("lab", "scenario", *options, timeout=400).json(), folder
        return self._done[attempt]


@pytest.fixture(scope="module")
def climbs(netprobe: Callable[..., Any]) -> Iterator[Climbs]:
    """In memory, since a disk that others write to can keep it waiting."""
    memory = Path("/dev/shm")
    assert not namespaces.is_up(), "a lab is up: netprobe lab down"
    busy_poll = Path("/proc/sys/net/core/busy_poll").read_text()
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Climbs(netprobe, Path(place))
    assert not namespaces.is_up()
    assert Path("/proc/sys/net/core/busy_poll").read_text() == busy_poll


@pytest.fixture
def climbed(climbs: Climbs, request: pytest.FixtureRequest) -> tuple[dict, Path]:
    # Counted by pytest-rerunfailures.
    return climbs.number(getattr(request.node, "execution_count", 1))


@pytest.fixture
def steps(climbed: tuple[dict, Path]) -> dict[int, dict]:
    return {one["number"]: one for one in climbed[0]["steps"]}


def codes(step: dict) -> set[str]:
    return {one["code"] for one in step["findings"]} - FROM_OUTSIDE


def test_all_steps_are_there(climbed, validate):
    document, folder = climbed
    validate(document)
    assert [one["name"] for one in document["steps"]] == NAMES
    assert [one["fault"] for one in document["steps"][:8]] == [*FAULTS, None]
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("number", range(1, 8))
def test_the_fault_is_named(steps, number):
    fault = FAULTS[number - 1]
    assert fault in codes(steps[number])
    assert steps[number]["fault_named"] is True


@pytest.mark.parametrize("number", range(2, 9))
def test_the_fixed_fault_is_gone(steps, number):
    """On its own step and on all above."""
    fixed = FAULTS[: number - 1]
    assert steps[number]["fixed"] == fixed[-1]
    assert steps[number]["fixed_is_gone"] is True
    assert not codes(steps[number]) & set(fixed)


@pytest.mark.parametrize("number", range(1, 9))
def test_nothing_is_named_that_is_not_there(steps, number):
    assert codes(steps[number]) <= set(FAULTS[number - 1 :])


def test_the_numbers_tell_the_same(steps):
    """What each fault is about, in figures."""
    assert steps[1]["local_pct"] < 99
    assert steps[2]["local_pct"] < 1
    assert all(steps[number]["local_pct"] > 99 for number in range(3, 9))
    assert steps[3]["calls_per_request"] > 2 * steps[4]["calls_per_request"]
    assert steps[3]["hit_pct"] is None
    assert steps[4]["polled_pct"] < 1
    assert steps[8]["polled_pct"] >= 50


def switches(folder: Path, role: str) -> float:
    run = load(folder)
    table = run.table("switches")
    return float(table[table["thread"].str.startswith(role)]["voluntary"].sum()) / run.seconds


def test_the_timers(climbed):
    """2,000 ticks a second of each timer, then 100."""
    folder = climbed[1]
    threads = min(4, len(os.sched_getaffinity(0)))
    assert switches(folder / "4-waiting", "timer-") / threads == pytest.approx(2000, rel=0.1)
    assert switches(folder / "5-quota", "timer-") / threads == pytest.approx(100, rel=0.1)


def test_the_calls(climbed):
    folder = climbed[1]
    received = {}
    for name in ("5-quota", "6-recv"):
        table = load(folder / name).table("syscalls")
        reactors = table[table["thread"].str.startswith("reactor-")]
        received[name] = reactors.groupby("syscall")["calls"].sum()
    assert received["5-quota"].get("recvfrom", 0) == 0
    assert received["6-recv"].get("read", 0) == 0
    assert received["6-recv"]["recvfrom"] > 1000


def test_what_stands_beside(steps, climbed):
    """io_uring makes no call to receive; the pre-forked server is processes; both are compared with step 7."""
    assert [steps[number]["compared_with"] for number in (9, 10)] == [7, 7]
    assert [steps[number]["fixed"] for number in (9, 10)] == [None, None]
    ring = load(climbed[1] / "9-io_uring").table("syscalls").groupby("syscall")["calls"].sum()
    assert ring.get("recvfrom", 0) == ring.get("sendto", 0) == 0
    assert ring["io_uring_enter"] > 1000
    forked = load(climbed[1] / "10-pre-fork").table("messages")
    assert forked["pid"].nunique() == min(4, len(os.sched_getaffinity(0)))
    for number in (9, 10):
        assert not codes(steps[number]) & set(FAULTS[:6])


def test_throughput_is_that_of_the_rounds(steps, climbed):
    rounds = load(climbed[1] / "3-ordered").table("load_rounds")
    assert len(rounds) == ROUNDS
    rate = (rounds["requests"] / rounds["duration_s"]).mean()
    assert steps[3]["requests_per_second"]["value"] == pytest.approx(rate)
    assert steps[3]["latency_us"]["p99"]["value"] == pytest.approx(rounds["p99_us"].mean())


def test_pyperf_reads_each(climbed):
    files = [climbed[1] / name / "bench.json" for name in ("6-recv", "7-flush")]
    told = subprocess.run(
        [sys.executable, "-m", "pyperf", "stats", *files], capture_output=True, text=True, check=True
    ).stdout
    assert told.count(f"Number of run with values: {ROUNDS}") == 10
    command = [sys.executable, "-m", "pyperf", "compare_to", *files]
    compared = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "time per request" in compared


def test_the_report_is_whole(climbed, steps):
    """It has all steps, their findings, flame graphs and the chart, and loads nothing."""
    page = (climbed[1] / "report.html").read_text()
    for number, step in steps.items():
        assert f'id="step-{number}"' in page
        assert all(one["code"] in page for one in step["findings"])
    assert page.count("<iframe") == len(NAMES) + len(NAMES) - 1
    assert not re.search(r'<(script|link|img|iframe)[^>]* (src|href)="', page.split("<script>")[0])
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["chart"]["data"][0]["type"] == "bar"
    for name in ("1-stock.html", "8-polling.html", "8-polling.diff.html"):
        assert (climbed[1] / name).stat().st_size > 10_000
