"""System calls that can wait, by timeout: exact counts, and the median of positive timeouts."""

import subprocess

import pytest

# syscall -> calls by class, and the one positive timeout in nanoseconds.
EXPECTED = {
    "epoll_wait": ({"zero": 17, "infinite": 5}, None),
    "epoll_pwait": ({"positive": 7}, 2_000_000),
    "epoll_pwait2": ({"positive": 19, "infinite": 3, "zero": 2, "unreadable": 1}, 100_000),
    "poll": ({"positive": 11, "infinite": 13}, 1_000_000),
    "ppoll": ({"infinite": 23, "positive": 3}, 300_000),
    "select": ({"zero": 29, "positive": 5}, 700_000),
    "pselect6": ({"positive": 31, "infinite": 2}, 50_000),
}
# One enter more than the workload's 37 submits only.
RING = ({"zero": 38, "positive": 7, "infinite": 3}, 400_000)


@pytest.fixture(scope="module")
def has_rings(workload):
    return b"io_uring" in subprocess.run([workload("waits"), "now"], capture_output=True, check=True).stdout


def expected(has_rings: bool) -> dict[str, tuple[dict[str, int], int | None]]:
    return EXPECTED | ({"io_uring_enter": RING} if has_rings else {})


def test_timeouts_are_counted_exactly(record_workload, rows, has_rings):
    result = record_workload("waits", [], "syscalls", "--json").json()
    found = {
        row["syscall"]: (row["timeouts"], row["median_positive_timeout_ns"])
        for row in result["syscalls"]
        if row.get("timeouts")
    }
    assert found == expected(has_rings)
    for row in result["syscalls"]:
        if row.get("timeouts"):
            assert sum(row["timeouts"].values()) == row["calls"]


def test_text_shows_the_timeouts(record_workload):
    lines = [" ".join(line.split()) for line in record_workload("waits", [], "syscalls", "-T", "0").out.splitlines()]
    place = next(index for index, line in enumerate(lines) if line.startswith("epoll_pwait2 25 "))
    below = lines[place + 1 : place + 5]
    assert below[0].startswith("timeout > 0, median 100 µs 19 ")
    assert {line.rsplit(" ", 2)[0] for line in below[1:]} == {"no timeout 3", "timeout 0 2", "timeout not readable 1"}


def test_one_waiting_call_only(record_workload):
    result = record_workload("waits", [], "syscalls", "--syscall", "poll", "--json").json()
    (row,) = result["syscalls"]
    assert (row["calls"], row["timeouts"]) == (24, EXPECTED["poll"][0])


def test_timeouts_by_thread(record_workload, rows):
    result = record_workload("waits", [], "syscalls", "--by", "thread", "--json").json()
    (row,) = rows(result, syscall="epoll_wait", thread="waits")
    assert row["timeouts"] == EXPECTED["epoll_wait"][0]
