"""The time of threads that run, wait for a CPU and sleep in known ways, checked against their own clocks."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

MILLISECONDS = 3000
pytestmark = pytest.mark.timing("the scheduler decides how long threads wait for a CPU")


def own_clocks(printed: bytes) -> dict[str, tuple[int, int, int]]:
    """What the workload printed: name -> (thread number, CPU time, time) in nanoseconds."""
    rows = (line.split() for line in printed.decode().splitlines())
    return {name: (int(number), int(cpu_ns), int(wall_ns)) for name, number, cpu_ns, wall_ns in rows}


class Measured:
    """netprobe's row of each thread by name, beside the clocks of the threads themselves."""

    def __init__(self, document: dict[str, Any], clocks: dict[str, tuple[int, int, int]]) -> None:
        self.rows = {row["thread"]: row for row in document["threads"]}
        self.clocks = clocks

    def asleep_in(self, thread: str, reason: str) -> float:
        """Share of the thread's time in percent."""
        row = self.rows[thread]
        return sum(100 * one["total_ns"] / row["alive_ns"] for one in row["sleeps"] if one["reason"] == reason)

    def woken_by(self, thread: str, waker: str) -> float:
        """Share of the sleeps in percent."""
        found = self.rows[thread]["woken_by"]
        return 100 * found.get(waker, 0) / sum(found.values())


@pytest.fixture
def measured(gated, recording):
    """The workload, recorded from before its threads start until after they end."""
    target = gated("budget", MILLISECONDS)
    session = recording("threads", "-p", target.pid, "-d", 60, "--by", "thread", "-T", 0, "--json")
    clocks = own_clocks(target.go())
    return Measured(session.finish().json(), clocks)


def test_threads_of_known_behaviour(measured):
    """States add up to the time of each thread, and agree with its own clocks; sleeps and wakers are named."""
    for name, (_, cpu_ns, wall_ns) in measured.clocks.items():
        if name == "port":
            continue
        row = measured.rows[name]
        states = row["running_ns"] + row["runnable_ns"] + row["asleep_ns"]
        assert abs(states - row["alive_ns"]) < 0.01 * row["alive_ns"], name
        # The thread's creation and end are outside of its body.
        assert 0 <= row["alive_ns"] - wall_ns < 0.01 * wall_ns + 5e6, name
        assert abs(row["running_ns"] - cpu_ns) < 0.005 * wall_ns, name
    for name in ("burner", "rival"):
        # Two threads on one CPU, with others.
        row = measured.rows[name]
        assert row["runnable_ns"] > 0.4 * row["alive_ns"], name
        assert row["asleep_ns"] < 0.01 * row["alive_ns"], name
    assert measured.asleep_in("sleeper", "clock_nanosleep") > 80
    assert measured.woken_by("sleeper", "hrtimer") > 99
    assert measured.asleep_in("poller", "poll") > 80
    assert measured.woken_by("poller", "hrtimer") > 99
    assert measured.asleep_in("waiter", "futex") > 80
    assert measured.woken_by("waiter", "thread") > 99
    assert next(iter(measured.rows["waiter"]["woken_by_threads"])) == "ticker"
    assert measured.asleep_in("reader", "read") > 80
    assert next(iter(measured.rows["reader"]["woken_by_threads"])) == "feeder"
    (read,) = (one for one in measured.rows["reader"]["sleeps"] if one["reason"] == "read")
    assert read["category"] == "pipe"
    assert [one["kind"] for one in read["objects"]] == ["pipe"]


def test_a_backend_is_named_by_address_and_port(measured):
    """The client sleeps on a connection that it opened, the backend on one that it accepted."""
    port = measured.clocks["port"][0]
    (receive,) = (one for one in measured.rows["client"]["sleeps"] if one["reason"] == "recvfrom")
    assert receive["category"] == "receive"
    assert [(one["kind"], one["address"], one["port"]) for one in receive["objects"]] == [
        ("connected", "127.0.0.1", port)
    ]
    # Over loopback the sender's system call delivers the packet, in a softirq.
    assert measured.woken_by("client", "network") > 99
    (receive,) = (one for one in measured.rows["backend"]["sleeps"] if one["reason"] == "recvfrom")
    assert [(one["kind"], one["address"], one["port"]) for one in receive["objects"]] == [("accepted", None, port)]


def test_modes_of_running_threads(measured):
    """The burners read the clock in the vDSO: user mode."""
    for name in ("burner", "rival"):
        (user,) = (one for one in measured.rows[name]["modes"] if one["mode"] == "user")
        assert user["share_of_running_pct"] > 90
        assert user["low_pct"] <= user["share_of_running_pct"] <= user["high_pct"]


def schedstat(pid: int) -> dict[int, tuple[int, int]]:
    """Thread number -> (run time, run delay) in nanoseconds, as the kernel has them."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        run_ns, delay_ns, _ = map(int, (task / "schedstat").read_text().split())
        found[int(task.name)] = (run_ns, delay_ns)
    return found


def test_threads_that_live_on_agree_with_schedstat(gated, recording, wait_for):
    """Run time and run delay between two snapshots, within 0.5 points of the kernel's own."""
    target = gated("budget", 30_000)
    target.start()
    wait_for(lambda: len(os.listdir(f"/proc/{target.pid}/task")) == 11, "the threads")
    session = recording("threads", "-p", target.pid, "-d", 2, "--by", "thread", "-T", 0, "--json")
    before, began = schedstat(target.pid), time.monotonic_ns()
    time.sleep(1.9)
    after, wall_ns = schedstat(target.pid), time.monotonic_ns() - began
    for row in session.finish().json()["threads"]:
        (thread,) = row["threads"]
        if thread["tid"] not in before:
            continue
        run_ns, delay_ns = (after[thread["tid"]][n] - before[thread["tid"]][n] for n in (0, 1))
        # The windows differ by some milliseconds, so a burner's share may differ by its scheduling period.
        for name, own_ns in (("running_ns", run_ns), ("runnable_ns", delay_ns)):
            share = 100 * row[name] / row["alive_ns"]
            assert abs(share - 100 * own_ns / wall_ns) < 1.5, (row["thread"], name)


def test_short_lived_threads_have_one_row_and_slots_are_used_again(recording, tmp_path):
    """More threads end in the recording than there are slots, and none is lost."""
    script = tmp_path / "many.py"
    script.write_text(
        "import sys, threading, time\n"
        "sys.stdin.readline()\n"
        "for _ in range(6000):\n"
        "    thread = threading.Thread(target=time.sleep, args=(0,))\n"
        "    thread.start()\n"
        "    thread.join()\n"
    )
    with subprocess.Popen(["python3", script], stdin=subprocess.PIPE) as process:
        session = recording("threads", "-p", process.pid, "-d", 60, "--json")
        process.communicate(b"\n", timeout=60)
        document = session.finish().json()
    assert document["dropped"] == []
    (short,) = (row for row in document["threads"] if row["thread"].startswith("(threads that lived"))
    assert len(short["threads"]) == 6000
    states = short["running_ns"] + short["runnable_ns"] + short["asleep_ns"]
    assert abs(states - short["alive_ns"]) < 0.05 * short["alive_ns"]
