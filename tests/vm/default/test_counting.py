"""Exact counts of known workloads, the same as in tests/kernel."""

SHARES = {"alpha": 5003, "beta": 3001, "gamma": 2003}
# System call -> calls by class of its timeout (tests/kernel/workloads/waits.c).
WAITS = {
    "epoll_wait": {"zero": 17, "infinite": 5},
    "epoll_pwait2": {"positive": 19, "infinite": 3, "zero": 2, "unreadable": 1},
    "poll": {"positive": 11, "infinite": 13},
}
ROUNDS = 503


def test_system_calls_by_thread_and_failure(record_workload, holds):
    done, _ = record_workload("counted", [], "syscalls", "--by", "thread", "-x", "-L", "--json")
    result = done.json()
    failed = {(row["syscall"], row["thread"]): row["failed"] for row in result["syscalls"] if row["failed"]}
    assert failed[("openat", "counted")] == 7
    done, _ = record_workload("counted", [], "syscalls", "--by", "thread", "--json")
    result = done.json()
    assert {row["thread"]: row["calls"] for row in result["syscalls"] if row["syscall"] == "getppid"} == SHARES
    assert result["dropped"] == []
    holds("system calls by thread", "raw tracepoint", "5003 + 3001 + 2003 calls and 7 failures, exactly")


def test_waits_by_timeout(record_workload, holds):
    result = record_workload("waits", [], "syscalls", "--json")[0].json()
    counted = {row["syscall"]: row["timeouts"] for row in result["syscalls"] if row["syscall"] in WAITS}
    assert counted == WAITS
    holds("waits by class of timeout", "raw tracepoint", "71 waits of three calls, each in its class")


def test_context_switches(record_workload, holds):
    done, printed = record_workload("pingpong", [ROUNDS], "switches", "--json", "--no-fold")
    own = {name: int(count) for name, count, _ in (line.split() for line in printed.decode().splitlines())}
    rows = {row["thread"]: row for row in done.json()["threads"]}
    # The end of a thread is one more, after its own last look.
    assert own["pong"] <= rows["pong"]["voluntary"] <= own["pong"] + 2
    assert own["ping"] - own["start"] <= rows["ping"]["voluntary"] <= own["ping"] + 2
    for row in (rows["ping"], rows["pong"]):
        assert sum(row["switches_by_cpu"].values()) == row["voluntary"] + row["involuntary"]
    holds("context switches", "BTF tracepoint", f"{2 * ROUNDS} switches as getrusage(2) counts them")
