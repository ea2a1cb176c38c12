"""Inside a container with its own PID namespace: PIDs are those of the namespace."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("netprobe")
INSIDE = Path(__file__).with_name("pid_namespace.py")


@pytest.fixture
def inside(tmp_path, workload):
    """Record a workload in a new PID namespace: (shell commands, name, arguments) -> output of pid_namespace.py."""

    def run(setup: str, name: str, *arguments: str) -> dict[str, Any]:
        words = [sys.executable, INSIDE, COMMAND, tmp_path, workload(name), *arguments]
        script = f"{setup}; {' '.join(map(str, words))}"
        command = ["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    return run


def test_pids_are_those_of_the_namespace(inside, workload, rows):
    answer = inside(":", "tree", str(workload("calls")))
    assert answer["status"] == 0, answer["err"]
    assert answer["pid"] < 100
    result = json.loads(answer["out"])
    assert result["target"]["pids"] == [answer["pid"]]
    table = rows(result, syscall="getppid")
    (main,) = [row for row in table if row["thread"] == "tree"]
    assert (main["pid"], main["tid"], main["calls"]) == (answer["pid"], answer["pid"], 101)
    by_name: dict[str, int] = {}
    for row in table:
        by_name[row["thread"]] = by_name.get(row["thread"], 0) + row["calls"]
        assert 0 < row["tid"] < 1000
    assert by_name == {"tree": 101, "child": 1009, "calls": 503, "late-thread": 211, "short-lived": 150}


def test_threads_inside(inside, rows):
    answer = inside(":", "counted")
    counted = {row["thread"]: row["calls"] for row in rows(json.loads(answer["out"]), syscall="getppid")}
    assert counted == {"alpha": 5003, "beta": 3001, "gamma": 2003}


def test_a_lower_pid_limit_inside(inside, rows):
    """Since 6.14 each PID namespace has its own pid_max: numbers outside may be larger than the limit inside."""
    lower = "echo 301 > /proc/sys/kernel/pid_max || true"
    answer = inside(lower, "counted")
    assert answer["status"] == 0, answer["err"]
    counted = {row["thread"]: row["calls"] for row in rows(json.loads(answer["out"]), syscall="getppid")}
    assert counted == {"alpha": 5003, "beta": 3001, "gamma": 2003}


def test_from_outside(workload, recording, rows, wait_for, tmp_path):
    """A process in a child namespace has its number in the parent namespace."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", str(workload("named")), "gate", "inner"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None
        outer.stdout.readline()
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        session = recording("syscalls", "-p", inner, "-d", 60, "--by", "thread", "--json")
        outer.communicate(b"g")
    (row,) = rows(session.finish().json(), syscall="getppid")
    assert (row["pid"], row["calls"], row["thread"]) == (int(inner), 17, "inner")
