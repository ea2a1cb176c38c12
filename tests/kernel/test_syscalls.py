"""Known numbers of system calls, counted exactly: by thread, by error, by name."""

import subprocess
import sys

import pytest

SHARES = {"alpha": 5003, "beta": 3001, "gamma": 2003}


def test_threads_are_counted_exactly(record_workload, rows):
    result = record_workload("counted", [], "syscalls", "--by", "thread", "--json").json()
    counted = {row["thread"]: row["calls"] for row in rows(result, syscall="getppid")}
    assert counted == SHARES
    assert {row["process"] for row in rows(result, syscall="getppid")} == {"counted"}
    assert [row["calls"] for row in rows(result, syscall="openat")] == [7]
    assert result["dropped"] == []
    assert result["target"]["threads"] == 4
    assert result["recording"]["stopped_by"] == "target exited"


def test_by_process_and_by_call(record_workload, rows):
    for by in ("process", "syscall"):
        result = record_workload("counted", [], "syscalls", "--by", by, "--json").json()
        assert [row["calls"] for row in rows(result, syscall="getppid")] == [10_007]
        assert rows(result, syscall="clone3")[0]["calls"] == 3


def test_text_has_the_same_counts(record_workload):
    shown = record_workload("counted", [], "syscalls")
    assert shown.status == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[1] == ["SYSCALL", "COUNT", "RATE/s", "SHARE", "%"]
    assert lines[2][:2] == ["getppid", "10007"]


def test_failed_calls(record_workload, rows):
    result = record_workload("counted", [], "syscalls", "-x", "--by", "thread", "--json").json()
    (row,) = result["syscalls"]
    assert (row["syscall"], row["calls"], row["failed"], row["errors"]) == ("openat", 7, 7, {"ENOENT": 7})
    assert row["thread"] == "counted"


@pytest.mark.parametrize(("error", "expected"), [("ENOENT", 7), ("enoent", 7), ("EACCES", None)])
def test_one_error(record_workload, error, expected):
    result = record_workload("counted", [], "syscalls", "-e", error, "--json").json()
    assert [row["errors"]["ENOENT"] for row in result["syscalls"]] == ([expected] if expected else [])


def test_two_names_of_one_error(record_workload):
    """errno(3) lists EWOULDBLOCK and EOPNOTSUPP; errorcode of Python has one name per number."""
    for name in ("EWOULDBLOCK", "EOPNOTSUPP", "ENOTSUP", "EDEADLOCK"):
        assert record_workload("counted", [], "syscalls", "-e", name).status == 0, name


def test_no_failure_is_a_sentence(record_workload):
    assert "No system call failed." in record_workload("counted", [], "syscalls", "-e", "EPERM").out


def test_one_call_only(record_workload):
    result = record_workload("counted", [], "syscalls", "--syscall", "getppid", "--json").json()
    assert [(row["syscall"], row["calls"]) for row in result["syscalls"]] == [("getppid", 10_007)]


def test_two_calls_only(record_workload):
    options = ["--syscall", "getppid", "--syscall", "openat", "--json", "-x"]
    result = record_workload("counted", [], "syscalls", *options).json()
    assert [(row["syscall"], row["calls"], row["failed"]) for row in result["syscalls"]] == [("openat", 7, 7)]


def test_latency(record_workload, rows):
    result = record_workload("naps", [23, 20_000], "syscalls", "-L", "--json").json()
    (row,) = rows(result, syscall="clock_nanosleep") + rows(result, syscall="nanosleep")
    assert row["calls"] == row["returned"] == 23
    assert 20e6 <= row["mean_ns"] < 24e6
    assert row["total_ns"] == pytest.approx(23 * row["mean_ns"])
    assert 20e6 * 0.87 <= row["p50_ns"] <= row["mean_ns"] * 1.13
    assert row["p50_ns"] <= row["p99_ns"]
    assert result["syscalls"][0] is not None
    assert result["syscalls"][0]["syscall"] == row["syscall"], "the longest comes first"


def test_latency_of_a_call_that_never_returns(workload, netprobe, rows):
    """A reused slot must not have the last call of its previous thread: exit_group never returns."""
    result = netprobe(
        "syscalls", "-L", "-i", "0.1", "--json", "--", workload("children"), "now", "3000", "1", "0"
    ).json()
    (ends,) = rows(result, syscall="exit_group")
    assert ends["calls"] == 3001
    assert ends["returned"] == 0
    (calls,) = rows(result, syscall="getppid")
    assert calls["calls"] == 3000
    assert calls["returned"] == 3000 or result["dropped"], "what has no latency must be told"


def test_32_bit_calls_have_their_own_names(record_workload, workload, rows):
    if subprocess.run([workload("compat"), "now"], check=False).returncode:
        pytest.skip("this kernel takes no 32-bit calls")
    result = record_workload("compat", [], "syscalls", "--json").json()
    assert [row["calls"] for row in rows(result, syscall="getppid (32-bit)")] == [13]
    assert not rows(result, syscall="semget")
    assert not rows(result, syscall="getppid")


# Number, how often, name (arch/x86/entry/syscalls/syscall_64.tbl).
NEW_AND_ODD = [
    (463, 2, "setxattrat"),
    (467, 11, "open_tree_attr"),
    (468, 3, "file_getattr"),
    (469, 5, "file_setattr"),
    (462, 17, "mseal"),
    (511, 13, "syscall_511"),
    (600, 7, "(invalid number 600)"),
    (-1, 19, "(invalid number -1)"),
    (1 << 30 | 39, 23, "getpid (x32)"),
]


def test_new_and_invalid_numbers_have_the_right_names(record_workload):
    arguments = [str(word) for number, count, _ in NEW_AND_ODD for word in (number, count)]
    result = record_workload("calls", arguments, "syscalls", "--json").json()
    counted = {row["syscall"]: row["calls"] for row in result["syscalls"]}
    assert {name: counted.get(name) for _, _, name in NEW_AND_ODD} == {name: count for _, count, name in NEW_AND_ODD}


def test_invalid_numbers_fail(record_workload, rows):
    """A call with an invalid number fails with ENOSYS, and -x must show it."""
    result = record_workload("calls", ["600", "7", "511", "3"], "syscalls", "-x", "--json").json()
    failed = {row["syscall"]: row["errors"] for row in result["syscalls"]}
    assert failed["syscall_511"] == {"ENOSYS": 3}
    assert failed["(invalid number 600)"] == {"ENOSYS": 7}


def test_top(record_workload):
    shown = record_workload("counted", [], "syscalls", "-T", "1").out.splitlines()
    assert shown[2].split()[0] == "getppid"
    assert shown[3].startswith("… ")
    assert "-T 0 shows all" in shown[3]
    everything = record_workload("counted", [], "syscalls", "-T", "0").out
    assert "exit_group" in everything
    assert "more row" not in everything


def test_intervals(gated, recording):
    target = gated("naps", 200, 5000)
    session = recording("syscalls", "-p", target.pid, "-d", 1.5, "-i", 0.5)
    target.start()
    shown = session.finish()
    assert shown.status == 0
    assert shown.out.count("SYSCALL") == 4, "three intervals and the whole"
    naps = [int(line.split()[1]) for line in shown.out.splitlines() if "nanosleep" in line]
    assert sum(naps[:-1]) == naps[-1] > 0


@pytest.mark.timing("rates over a measured time")
def test_rates_and_shares(record_workload):
    result = record_workload("counted", [], "syscalls", "--json").json()
    seconds = result["recording"]["seconds"]
    for row in result["syscalls"]:
        assert row["calls_per_second"] == pytest.approx(row["calls"] / seconds)


def test_by_name_of_the_process(gated, recording, rows):
    target, other = gated("named", "np-one"), gated("named", "np-two")
    session = recording("syscalls", "--comm", "np-one", "-d", 1, "--json")
    target.go()
    other.go()
    result = session.finish().json()
    assert [row["calls"] for row in rows(result, syscall="getppid")] == [17]


def test_by_name_of_a_process_that_starts_later(gated, workload, recording, rows):
    gated("calls")
    session = recording("syscalls", "--comm", "calls", "-d", 1, "--json")
    subprocess.run([workload("calls"), "now", "110", "29"], check=True)
    result = session.finish().json()
    assert [row["calls"] for row in rows(result, syscall="getppid")] == [29]


def test_two_processes(gated, recording, rows):
    first, second = gated("named", "one"), gated("named", "two")
    session = recording("syscalls", "-p", first.pid, "-p", second.pid, "-d", 60, "--json", "--by", "process")
    first.go()
    second.go()
    result = session.finish().json()
    assert {row["pid"]: row["calls"] for row in rows(result, syscall="getppid")} == {first.pid: 17, second.pid: 17}


def test_whole_machine(gated, recording, rows):
    target = gated("counted")
    session = recording("syscalls", "-d", 1, "--by", "thread", "--json", "-T", 0)
    target.go()
    result = session.finish().json()
    counted = {row["thread"]: row["calls"] for row in rows(result, syscall="getppid", pid=target.pid)}
    assert counted == SHARES
    assert not rows(result, pid=session.pid), "netprobe does not count itself"


@pytest.mark.timing("rates over a measured time")
def test_run_time_is_scaled_to_the_whole_recording(netprobe):
    """Statistics are enabled for a part of each interval; the workload has a constant rate of calls."""
    # With work between the calls: the account itself slows down what does nothing else.
    spin = "import os\nwhile True: os.getppid(), sum(range(500))"
    with subprocess.Popen([sys.executable, "-S", "-c", spin]) as busy:
        result = netprobe("syscalls", "-d", 3, "--json", "-T", 0).json()
        busy.kill()
    cost = result["cost"]
    (enter,) = [one for one in cost["programs"] if one["program"] == "on_sys_enter"]
    counted = sum(row["calls"] for row in result["syscalls"])
    assert enter["run_cnt"] * 3 / cost["accounted_seconds"] == pytest.approx(counted, rel=0.3)
