"""`netprobe diff` of real recordings: equal servers have no changes, and the change of a configured fault is first."""

import subprocess
import time
from dataclasses import replace

import pytest

from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command

pytestmark = pytest.mark.timing("two recordings under load are compared")

RIGHT = ServerOptions(threads=1, cpus=(0,))


@pytest.fixture
def recorded(netprobe, tmp_path):
    """Record a new server under load: (options, seconds) -> Run."""

    def record(options=RIGHT, seconds=3):
        path = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        with LabServer(options) as server:
            url = f"http://{server.address}:{server.port}/"
            load = subprocess.Popen(["taskset", "-c", "1", *wrk_command(url, 60)], stdout=subprocess.DEVNULL)
            try:
                time.sleep(0.5)
                done = netprobe("record", "-p", server.pid, "-d", seconds, "-o", path)
            finally:
                load.kill()
                load.wait()
        assert done.status == 0, done.err
        return path

    return record


def changed(netprobe, a, b, *options):
    rows = netprobe("diff", a, b, "--json", *options).json()["changes"]
    return [(row["name"], row["verdict"]) for row in rows if row["verdict"] not in ("within noise", "inconclusive")]


def test_equal_servers_have_no_changes(netprobe, recorded):
    assert changed(netprobe, recorded(), recorded(seconds=5)) == []


@pytest.mark.parametrize(
    ("faulty", "first", "gate"),
    [
        # The number of calls is the same under another name: that is no regression, but a finding.
        (replace(RIGHT, receive="read"), {("read, reactor-0", "new"), ("recvfrom, reactor-0", "gone")}, "findings"),
        (
            replace(RIGHT, epoll_timeout_us=0),
            {
                ("epoll_pwait with timeout zero, reactor-0", "new"),
                ("epoll_pwait with timeout infinite, reactor-0", "gone"),
                ("epoll_pwait, reactor-0", "more"),
            },
            "regression",
        ),
        (
            replace(RIGHT, quota_timer_us=500),
            {("voluntary switches, timer-0", "new"), ("read, timer-0", "new")},
            "regression",
        ),
    ],
    ids=["read", "zero timeout", "quota timer"],
)
def test_the_change_of_the_fault_is_first(netprobe, recorded, faulty, first, gate):
    before, after = recorded(), recorded(faulty)
    assert changed(netprobe, before, after)[0] in first
    done = netprobe("diff", before, after, "--fail-on", gate)
    assert done.status == 1, done.out
