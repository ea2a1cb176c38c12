"""Context switches of known workloads, checked against the kernel's own count."""

import time
from pathlib import Path
from typing import Any

import pytest

ROUNDS = 5003


def own_account(printed: bytes) -> dict[str, tuple[int, int]]:
    """Output of the workload: name -> (voluntary, involuntary) by getrusage(2)."""
    return {
        name: (int(voluntary), int(involuntary))
        for name, voluntary, involuntary in (line.split() for line in printed.decode().splitlines())
    }


@pytest.fixture
def ping_pong(gated, recording):
    """(outcome of netprobe, counts of the kernel)"""

    def run(*options: Any) -> tuple[Any, dict[str, tuple[int, int]]]:
        target = gated("pingpong", ROUNDS)
        session = recording("switches", "-p", target.pid, "-d", 60, *options)
        account = own_account(target.go())
        return session.finish(), account

    return run


@pytest.mark.timing("the scheduler decides when threads switch")
def test_two_threads_that_alternate(ping_pong, rows):
    done, account = ping_pong("--json", "--no-fold")
    result = done.json()
    (ping,), (pong,) = rows(result, thread="ping"), rows(result, thread="pong")
    # The end of a thread is one more, after its own last look.
    assert account["pong"][0] <= pong["voluntary"] <= account["pong"][0] + 2
    in_window = account["ping"][0] - account["start"][0]
    assert in_window <= ping["voluntary"] <= account["ping"][0] + 2
    assert abs(ping["voluntary"] + pong["voluntary"] - 2 * ROUNDS) <= 8
    assert ping["involuntary"] + pong["involuntary"] <= 20
    for row in (ping, pong):
        assert sum(row["switches_by_cpu"].values()) == row["voluntary"] + row["involuntary"]
        successors = sum(row["followed_by"].values()) + sum(row["preempted_by"].values())
        assert successors + row["to_idle"] == row["voluntary"] + row["involuntary"]


def test_the_next_task_has_its_last_name(ping_pong, rows):
    """The other thread got its name after its first switch."""
    result = ping_pong("--json")[0].json()
    assert rows(result, thread="ping")[0]["followed_by"].get("pong", 0) > ROUNDS * 0.98
    assert rows(result, thread="pong")[0]["followed_by"].get("ping", 0) > ROUNDS * 0.98


@pytest.mark.timing("the scheduler decides when threads switch")
def test_run_queue_latency(ping_pong, rows):
    result = ping_pong("-L", "--json")[0].json()
    for name in ("ping", "pong"):
        waits = rows(result, thread=name)[0]["run_queue"]
        # Each of its switches away ended with a wake-up, but the last one.
        assert abs(waits["waits"] - ROUNDS) <= 10
        assert 0 < waits["p50_ns"] <= waits["p99_ns"]
        assert 0 < waits["mean_ns"] < 1e6


@pytest.mark.timing("the scheduler decides when threads switch")
def test_counts_agree_with_proc(gated, recording, rows):
    """/proc/PID/task/TID/status before and after, while the thread sleeps both times."""

    def voluntary() -> int:
        status = Path(f"/proc/{target.pid}/task/{target.pid}/status").read_text()
        return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])

    target = gated("naps", 97, 3000)
    session = recording("switches", "-p", target.pid, "-d", 60, "--json", "--no-fold")
    before = voluntary()
    target.start()
    # A thread that has ended keeps its numbers until its parent asks for its status.
    (row,) = rows(session.finish().json(), thread="naps")
    counted = voluntary() - before
    assert 97 <= counted <= 105
    assert row["voluntary"] == counted
    assert row["threads"] == [{"pid": target.pid, "tid": target.pid}]


@pytest.mark.timing("the scheduler decides when threads switch")
def test_threads_of_a_role_are_folded(gated, recording, rows):
    targets = [gated("named", f"timer-{number}") for number in range(3)]
    pids = [word for target in targets for word in ("-p", target.pid)]
    session = recording("switches", *pids, "-d", 60, "--json")
    for target in targets:
        target.go()
    result = session.finish().json()
    (row,) = rows(result, thread="timer-N")
    assert {thread["pid"] for thread in row["threads"]} == {target.pid for target in targets}


def switches_since_boot() -> int:
    return int(Path("/proc/stat").read_text().split("\nctxt ")[1].split()[0])


@pytest.mark.timing("the scheduler decides when threads switch")
def test_machine_wide_rate_agrees_with_proc_stat(gated, recording):
    target = gated("naps", 10_000, 500)
    target.start()
    session = recording("switches", "-d", 60, "--json", attached=False)
    session.attached()
    time.sleep(0.1)
    first = switches_since_boot()
    time.sleep(1.5)
    last = switches_since_boot()
    result = session.stop().json()
    assert last - first > 1000
    intervals = result["machine"]
    total = sum(interval["machine_switches"] for interval in intervals)
    assert last - first <= total <= (last - first) * 1.35
    assert sum(interval["duration_s"] for interval in intervals) == pytest.approx(result["recording"]["seconds"])


def test_machine_wide_text(recording):
    shown = recording("switches", "-d", 2).finish().out.splitlines()
    assert shown[0] == "The whole machine"
    assert shown[1].split() == ["TIME", "proc/s", "cswch/s"]
    assert [len(line.split()) for line in shown[2:5]] == [3, 3, 3]
    assert shown[4].startswith("Average")


@pytest.mark.timing("needs a CPU that is idle for a moment")
def test_the_idle_task_is_no_next_task(gated, recording):
    target = gated("naps", 100, 2000)
    target.start()
    result = recording("switches", "-d", 1, "--json").finish().json()
    for row in result["threads"]:
        names = {*row["preempted_by"], *row["followed_by"], row["thread"]}
        assert not [name for name in names if name.startswith("swapper") or name == "(idle)"]
    assert any(row["to_idle"] for row in result["threads"])
