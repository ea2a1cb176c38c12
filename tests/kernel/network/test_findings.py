"""`netprobe record` on the labelled cases: each fault is found, alone and in pairs; no fault, no finding.

`make truth` repeats the cases and prints recall and false alarms.
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
# The two CPUs are shared with other tasks of the machine, which may preempt the lab server.
FROM_OUTSIDE = "reactor-preempted"
WITHOUT_FAULT = ("no fault on loopback", "no fault with busy polling")
# Pattern in the text of the finding.
TEXTS = {
    "reuseport-order on loopback": "index 0 receives packets of CPU 0, but reactor-1 runs on CPU 1",
    "listener-thread-unpinned on loopback": "reactor-1",
    "timer-thread-switching on loopback": r"timer-N only tick, (19|20)\d\d times per second each",
    "read-on-sockets on loopback": "below ksys_read",
    "hot-frame with busy polling": r"(__vdso_)?(clock_gettime|work|reactor_work)\b",
    "epoll-zero-timeout with busy polling": "by reactor-0",
    "busy-poll-softirq-first with busy polling": "echo 2 > /sys/class/net/veth-server/napi_defer_hard_irqs",
    "busy polling of sockets but not of epoll": "SO_BUSY_POLL: 16 of 16",
    "two queues in one epoll set": "veth-server queue 1",
    "transmit queues by hash": r"queues/tx-1/xps_cpus",
    "a competitor on the reactor's CPU": "batch-job takes CPU 0 from reactor-0",
    "kernel-hooks with busy polling": "packet_rcv",
    "rearmed per message": r"1\.00 times per message",
    "unnecessary calls per request": r"getppid: 5\.0",
}
# Three pairs of each base; `make truth` records all of them.
PAIRS_SHOWN = (
    "reuseport-order and timer-thread-switching on loopback",
    "reuseport-order and epoll-zero-timeout on loopback",
    "reuseport-unsteered and listener-thread-unpinned on loopback",
    "timer-thread-switching and read-on-sockets with busy polling",
    "read-on-sockets and busy-poll-softirq-first with busy polling",
    "timer-thread-switching and hot-frame with busy polling",
)
SHOWN = [case for case in CASES if len(case.codes) < 2 or case.name in PAIRS_SHOWN]


class RuleOutput:
    """The results of the rules for a recording."""

    def __init__(self, document: dict) -> None:
        self.document = document
        self.by_code = {finding["code"]: finding for finding in document["findings"]}

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.document["findings"]]

    def text(self, code: str) -> str:
        finding = self.by_code[code]
        return " | ".join([finding["summary"], *(fact["text"] for fact in finding["evidence"]), finding["fix"]])


@pytest.fixture
def destination(tmp_path) -> Iterator[Path]:
    """The directory of the Run, in memory: a busy disk can delay the Run for a minute."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder, "run")


@pytest.fixture
def recorded(netprobe, validate, destination) -> Callable[[Case], RuleOutput]:
    """Record a case."""

    def run(case: Case) -> RuleOutput:
        with running(case) as pid:
            done = netprobe("record", "-p", pid, "-d", SECONDS, "-F", 997, "--json", "-o", destination)
        return RuleOutput(validate(done.json()))

    return run


@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.name)
@pytest.mark.usefixtures("no_lab")
def test_each_case_has_its_findings(recorded, case):
    output = recorded(case)
    permitted = case.also | ({FROM_OUTSIDE} - case.codes)
    assert set(output.codes) - permitted == case.codes
    if pattern := TEXTS.get(case.name):
        (code,) = case.codes
        assert re.search(pattern, output.text(code))
    if case.name in WITHOUT_FAULT:
        assert [result["code"] for result in output.document["inconclusive"]] == []


def test_the_texts_belong_to_cases():
    names = {case.name for case in SHOWN}
    assert set(TEXTS) | set(PAIRS_SHOWN) <= names


# ---- Text output ----


def test_the_text_has_summary_reason_and_fix(netprobe, load, destination):
    with LabServer(replace(TWO, listen_order="reversed")) as server, load(f"http://127.0.0.1:{server.port}/"):
        done = netprobe("record", "-p", server.pid, "-d", 1, "-o", destination)
    lines = done.out.splitlines()
    (line,) = [line for line in lines if "reuseport-order: " in line]
    assert re.match(r"\d\. (MAJOR|minor|note)  reuseport-order: 2 of 2 listeners", line)
    assert "   More: netprobe explain reuseport-order" in lines
    assert (
        sum(line.startswith("   Fix: ") for line in lines) == sum("   Why it matters: " in line for line in lines) > 0
    )


def test_rules_that_need_load_are_inconclusive_without_it(netprobe, destination):
    with LabServer(TWO) as server:
        document = netprobe("record", "-p", server.pid, "-d", 0.3, "--json", "-o", destination).json()
    assert set(RuleOutput(document).codes) <= {FROM_OUTSIDE}
    inconclusive = {result["code"] for result in document["inconclusive"]}
    assert {"locality-broken", "hot-frame", "reactor-preempted", "syscalls-per-request"} <= inconclusive
    assert {"reuseport-order", "listener-thread-unpinned"} <= set(document["pass"])
