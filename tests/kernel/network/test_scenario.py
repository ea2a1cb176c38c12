"""`netprobe lab scenario` in short form: each step has the right finding, which is gone in the next step."""

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
# The fault that each step has and the next step fixes; other findings of a step are faults of later steps.
FAULTS = [
    "reuseport-unsteered", "reuseport-order", "epoll-zero-timeout", "timer-thread-switching", "read-on-sockets",
    "flush-batched", "busy-poll-softirq-first",
]  # fmt: skip
NAMES = ["stock", "steered", "ordered", "waiting", "quota", "recv", "flush", "polling", "io_uring", "pre-fork"]
# Other programs on this machine use the same two CPUs; their preemptions are not a fault of the lab.
OF_OTHER_PROGRAMS = {"reactor-preempted"}


class Scenarios:
    """The whole scenario, run once for the first attempt of all tests, and again for each repetition."""

    def __init__(self, netprobe: Callable[..., Any], folder: Path) -> None:
        self._netprobe, self._folder = netprobe, folder
        self._results: dict[int, tuple[dict, Path]] = {}

    def result(self, attempt: int) -> tuple[dict, Path]:
        """The printed document, and the output directory."""
        if attempt not in self._results:
            output = self._folder / f"scenario-{attempt}"
            options = ["--rounds", ROUNDS, "--recorded", RECORDED_S, "--json", "-o", output]
            self._results[attempt] = self._netprobe("lab", "scenario", *options, timeout=400).json(), output
        return self._results[attempt]


@pytest.fixture(scope="module")
def scenarios(netprobe: Callable[..., Any]) -> Iterator[Scenarios]:
    """In memory, because writing to a busy disk can take long."""
    memory = Path("/dev/shm")
    assert not namespaces.is_up(), "a lab is up: netprobe lab down"
    busy_poll = Path("/proc/sys/net/core/busy_poll").read_text()
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Scenarios(netprobe, Path(folder))
    assert not namespaces.is_up()
    assert Path("/proc/sys/net/core/busy_poll").read_text() == busy_poll


@pytest.fixture
def measured(scenarios: Scenarios, request: pytest.FixtureRequest) -> tuple[dict, Path]:
    # Counted by pytest-rerunfailures.
    return scenarios.result(getattr(request.node, "execution_count", 1))


@pytest.fixture
def steps(measured: tuple[dict, Path]) -> dict[int, dict]:
    return {one["number"]: one for one in measured[0]["steps"]}


def codes(step: dict) -> set[str]:
    return {one["code"] for one in step["findings"]} - OF_OTHER_PROGRAMS


def test_all_steps_are_measured(measured, validate):
    document, folder = measured
    validate(document)
    assert [one["name"] for one in document["steps"]] == NAMES
    assert [one["fault"] for one in document["steps"][:8]] == [*FAULTS, None]
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("number", range(1, 8))
def test_fault_is_found(steps, number):
    fault = FAULTS[number - 1]
    assert fault in codes(steps[number])
    assert steps[number]["fault_found"] is True


@pytest.mark.parametrize("number", range(2, 9))
def test_fixed_fault_is_gone(steps, number):
    """In the step that fixes it and in all later steps."""
    fixed = FAULTS[: number - 1]
    assert steps[number]["fixed"] == fixed[-1]
    assert steps[number]["fixed_is_gone"] is True
    assert not codes(steps[number]) & set(fixed)


@pytest.mark.parametrize("number", range(1, 9))
def test_no_finding_without_its_fault(steps, number):
    assert codes(steps[number]) <= set(FAULTS[number - 1 :])


def test_counts_agree_with_the_faults(steps):
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


def test_switches_of_the_timers(measured):
    """2,000 ticks per second of each timer, then 100."""
    folder = measured[1]
    threads = min(4, len(os.sched_getaffinity(0)))
    assert switches(folder / "4-waiting", "timer-") / threads == pytest.approx(2000, rel=0.1)
    assert switches(folder / "5-quota", "timer-") / threads == pytest.approx(100, rel=0.1)


def test_receive_calls(measured):
    folder = measured[1]
    received = {}
    for name in ("5-quota", "6-recv"):
        table = load(folder / name).table("syscalls")
        reactors = table[table["thread"].str.startswith("reactor-")]
        received[name] = reactors.groupby("syscall")["calls"].sum()
    assert received["5-quota"].get("recvfrom", 0) == 0
    assert received["6-recv"].get("read", 0) == 0
    assert received["6-recv"]["recvfrom"] > 1000


def test_variants(steps, measured):
    """io_uring makes no receive calls; the pre-fork server has processes; both are compared with step 7."""
    assert [steps[number]["compared_with"] for number in (9, 10)] == [7, 7]
    assert [steps[number]["fixed"] for number in (9, 10)] == [None, None]
    ring = load(measured[1] / "9-io_uring").table("syscalls").groupby("syscall")["calls"].sum()
    assert ring.get("recvfrom", 0) == ring.get("sendto", 0) == 0
    assert ring["io_uring_enter"] > 1000
    forked = load(measured[1] / "10-pre-fork").table("messages")
    assert forked["pid"].nunique() == min(4, len(os.sched_getaffinity(0)))
    for number in (9, 10):
        assert not codes(steps[number]) & set(FAULTS[:6])


def test_throughput_is_that_of_the_rounds(steps, measured):
    rounds = load(measured[1] / "3-ordered").table("load_rounds")
    assert len(rounds) == ROUNDS
    rate = (rounds["requests"] / rounds["duration_s"]).mean()
    assert steps[3]["requests_per_second"]["value"] == pytest.approx(rate)
    assert steps[3]["latency_us"]["p99"]["value"] == pytest.approx(rounds["p99_us"].mean())


def test_pyperf_reads_the_suites(measured):
    files = [measured[1] / name / "bench.json" for name in ("6-recv", "7-flush")]
    output = subprocess.run(
        [sys.executable, "-m", "pyperf", "stats", *files], capture_output=True, text=True, check=True
    ).stdout
    assert output.count(f"Number of run with values: {ROUNDS}") == 10
    command = [sys.executable, "-m", "pyperf", "compare_to", *files]
    compared = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "time per request" in compared


def test_report_is_complete(measured, steps):
    """All steps, their findings, flame graphs and the chart, without references to other files."""
    page = (measured[1] / "report.html").read_text()
    for number, step in steps.items():
        assert f'id="step-{number}"' in page
        assert all(one["code"] in page for one in step["findings"])
    assert page.count("<iframe") == len(NAMES) + len(NAMES) - 1
    assert not re.search(r'<(script|link|img|iframe)[^>]* (src|href)="', page.split("<script>")[0])
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["chart"]["data"][0]["type"] == "bar"
    for name in ("1-stock.html", "8-polling.html", "8-polling.diff.html"):
        assert (measured[1] / name).stat().st_size > 10_000
