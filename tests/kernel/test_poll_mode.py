"""`netprobe record` of a DPDK application: poll mode is found, other rules do not apply, the driver is named."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netprobe.lab import dpdk

pytestmark = [
    pytest.mark.skipif(shutil.which("dpdk-testpmd") is None, reason="dpdk-testpmd (dpdk-dev) is not installed"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
]
# Who else wants the poller's CPU is no fault of the poller's, and true.
OF_THE_MACHINE = "reactor-preempted"


@pytest.fixture(scope="module", params=["net_null", "net_ring"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def said(driver: str, netprobe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict]:
    """Result of `netprobe record` of testpmd on devices of this driver."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    try:
        with dpdk.Testpmd(driver) as application:
            folder = tmp_path_factory.mktemp(driver) / "run"
            done = netprobe("record", "-p", application.pid, "-d", 1, "-F", 997, "--json", "-o", folder)
            text = netprobe("record", "-p", application.pid, "-d", 0.5, "-F", 997, "-o", folder.with_name("text")).out
        yield {"document": done.json(), "text": text, "application": application, "folder": folder}
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@pytest.fixture
def found(said: dict) -> dict[str, dict]:
    return {one["code"]: one for one in said["document"]["findings"]}


def evidence(finding: dict) -> str:
    return " | ".join(one["text"] for one in finding["evidence"])


def test_the_poller_is_named(found):
    summary = found["poll-mode"]["summary"]
    assert summary.startswith("rte-worker-1 polls from user space (kernel bypass)")
    assert "reuseport, epoll and NAPI do not apply" in summary
    assert found["poll-mode"]["severity"] == "note"
    shown = re.search(r"(\d+) % of (\d+) samples in user mode, (\d+) system calls", evidence(found["poll-mode"]))
    assert shown
    user, samples, calls = map(int, shown.groups())
    assert user >= 90
    assert samples >= 20
    assert calls <= 20
    assert "the kernel has 0 TCP connections of the process" in evidence(found["poll-mode"])


def test_no_other_finding(found):
    assert set(found) - {OF_THE_MACHINE} <= {"poll-mode", "unknown-frames"}


def test_other_rules_do_not_apply(said):
    """Data of the kernel's network stack are not missing: the application does not use it."""
    assert said["document"]["inconclusive"] == []


def test_the_driver_dominates(found, driver):
    """Its functions are stripped: the file is named, as `eth_ena_xmit_pkts` would be."""
    named = evidence(found["poll-mode"])
    most = named.rpartition("the largest self time is in ")[2]
    if driver == "net_null":
        assert "librte_net_null" in most
        # The file is stripped: it is no function.
        assert "hot-frame" not in found
    assert "librte_" in most or "dpdk-testpmd" in most


def test_without_symbols_the_share_of_empty_polls_is_not_known(found):
    assert "share of empty polls not known" in evidence(found["poll-mode"])


def test_the_headline(said):
    line = said["text"].splitlines()[1]
    assert (
        line == "Poll mode: rte-worker-1 receives packets with kernel bypass; the kernel counts no request or message."
    )
    assert "put the server under load" not in said["text"]


def test_the_run_keeps_it(said):
    from netprobe import load
    from netprobe.run.versions import FORMAT_VERSION

    assert json.loads((Path(said["folder"]) / "run.json").read_text())["format_version"] == FORMAT_VERSION
    assert "poll-mode" in {finding.code for finding in load(said["folder"]).findings()}


def test_a_thread_that_only_computes_is_no_poller(netprobe, tmp_path, start_busy):
    done = netprobe("record", "-p", start_busy, "-d", 0.5, "-F", 997, "--json", "-o", tmp_path / "run").json()
    assert "poll-mode" in done["pass"]


@pytest.fixture
def start_busy() -> Iterator[int]:
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as one:
        yield one.pid
        one.kill()
