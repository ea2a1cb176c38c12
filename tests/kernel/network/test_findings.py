"""`netprobe record` on the labelled cases: each fault is named, alone and in pairs, and nothing where nothing is wrong.

`make truth` does the same several times over, and counts.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netprobe.lab.cases import CASES, Case, running
from netprobe.lab.server import LabServer, ServerOptions

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
    pytest.mark.timing("findings follow from shares measured under load on two shared CPUs"),
]
SECONDS = 1.0
TWO = ServerOptions(threads=2, cpus=(0, 1), steer="cbpf")
# Two CPUs serve the tests and whoever else works on this machine: competitors from outside are no fault of the lab's.
FROM_OUTSIDE = "reactor-preempted"
ALL_CLEAR = ("right on loopback", "right with busy polling")
# What the finding's text has to name, beside its code.
WORDS = {
    "reuseport-order on loopback": "index 0 gets CPU 0's packets, but reactor-1 runs on 1",
    "listener-thread-unpinned on loopback": "reactor-1",
    "timer-thread-switching on loopback": r"timer-N only tick, (19|20)\d\d times a second each",
    "read-on-sockets on loopback": "below ksys_read",
    "hot-frame with busy polling": r"(__vdso_)?(clock_gettime|work|reactor_work)\b",
    "epoll-zero-timeout with busy polling": "by reactor-0",
    "busy-poll-softirq-first with busy polling": "echo 2 > /sys/class/net/veth-server/napi_defer_hard_irqs",
    "sockets poll where epoll waits": "SO_BUSY_POLL: 16 of 16",
    "two queues in one set": "veth-server queue 1",
    "transmit queues by hash": r"queues/tx-1/xps_cpus",
    "a competitor on the reactor's CPU": "batch-job takes CPU 0 from reactor-0",
    "kernel-hooks with busy polling": "packet_rcv",
    "rearmed for each message": r"1\.00 times for each message",
    "calls that no request needs": r"getppid: 5\.0",
}
# Three pairs of each base are enough here.
PAIRS_SHOWN = (
    "reuseport-order and timer-thread-switching on loopback",
    "reuseport-order and epoll-zero-timeout on loopback",
    "reuseport-unsteered and listener-thread-unpinned on loopback",
    "timer-thread-switching and read-on-sockets with busy polling",
    "read-on-sockets and busy-poll-softirq-first with busy polling",
    "timer-thread-switching and hot-frame with busy polling",
)
SHOWN = [case for case in CASES if len(case.codes) < 2 or case.name in PAIRS_SHOWN]


class Said:
    """What the rules said of a recording."""

    def __init__(self, document: dict) -> None:
        self.document = document
        self.by_code = {one["code"]: one for one in document["findings"]}

    @property
    def codes(self) -> list[str]:
        return [one["code"] for one in self.document["findings"]]

    def text(self, code: str) -> str:
        one = self.by_code[code]
        return " | ".join([one["summary"], *(fact["text"] for fact in one["evidence"]), one["fix"]])


@pytest.fixture
def destination(tmp_path) -> Iterator[Path]:
    """Where the Run goes: in memory, since a disk that others write to can keep a Run waiting for a minute."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder, "run")


@pytest.fixture
def said(netprobe, validate, destination) -> Callable[[Case], Said]:
    """Record a case."""

    def run(case: Case) -> Said:
        with running(case) as pid:
            done = netprobe("record", "-p", pid, "-d", SECONDS, "-F", 997, "--json", "-o", destination)
        return Said(validate(done.json()))

    return run


@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.name)
@pytest.mark.usefixtures("no_lab")
def test_each_case_gets_its_findings(said, case):
    seen = said(case)
    besides = case.also | ({FROM_OUTSIDE} - case.codes)
    assert set(seen.codes) - besides == case.codes
    if words := WORDS.get(case.name):
        (code,) = case.codes
        assert re.search(words, seen.text(code))
    if case.name in ALL_CLEAR:
        assert [one["code"] for one in seen.document["inconclusive"]] == []


def test_the_words_are_of_cases():
    names = {case.name for case in SHOWN}
    assert set(WORDS) | set(PAIRS_SHOWN) <= names


# ---- What is printed ----


def test_the_text_names_the_finding_and_where_more_is(netprobe, load, destination):
    with LabServer(replace(TWO, listen_order="reversed")) as server, load(f"http://127.0.0.1:{server.port}/"):
        done = netprobe("record", "-p", server.pid, "-d", 1, "-o", destination)
    lines = done.out.splitlines()
    (line,) = [line for line in lines if "reuseport-order: " in line]
    assert re.match(r"\d\. (MAJOR|minor|note)  reuseport-order: 2 of 2 listeners", line)
    assert "   More: netprobe explain reuseport-order" in lines
    assert sum(line.startswith("   Do: ") for line in lines) == sum("   Why: " in line for line in lines)


def test_nobody_asks(netprobe, destination):
    """Without load nothing is clear that needs one."""
    with LabServer(TWO) as server:
        document = netprobe("record", "-p", server.pid, "-d", 0.3, "--json", "-o", destination).json()
    seen = Said(document)
    assert set(seen.codes) <= {FROM_OUTSIDE}
    cannot = {one["code"] for one in document["inconclusive"]}
    assert {"locality-broken", "hot-frame", "reactor-preempted", "syscalls-per-request"} <= cannot
    assert {"reuseport-order", "listener-thread-unpinned"} <= set(document["pass"])
