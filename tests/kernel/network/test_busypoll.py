"""`netprobe busypoll` on the lab server in its namespaces: each check failed, and all checks passed."""

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import netprobe as package
from netprobe.lab.server import LabServer, ServerOptions

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
    pytest.mark.timing("busy-poll hits depend on when packets arrive"),
]
DEFER = {"busy_poll_us": 50, "defer": True}
PREFER = {"busy_poll_us": 200, "prefer": True}


@pytest.fixture
def polled(lab, look):
    """Record the lab server on CPU 0 under wrk on CPU 1: (options of the lab, of the server, of the load)."""

    def run(lab_options, server_options=None, **load):
        up = lab(**{"queues": 1} | lab_options)
        options = ServerOptions(**{"cpus": (0,), "address": up.server.address} | (server_options or {}))
        with LabServer(options, namespace=up.server.namespace) as server:
            under = {"namespace": up.client.namespace, "cpus": (1,), "connections": 16}
            return look("busypoll", server, **under | load)

    return run


def test_a_switched_off(polled):
    """(a) No attempt, although softirqs interrupt the server all the time."""
    seen = polled({"busy_poll_us": 0})
    assert seen.requests > 10_000
    assert seen.document["polls"] == []
    assert (seen.verdict["kind"], seen.verdict["share_pct"]) == ("none", 0)
    check = seen.check("busy polling is enabled")
    assert check["state"] == "failed"
    assert "net.core.busy_poll = 0" in check["evidence"]
    assert "net.core.busy_poll=50" in check["fix"]
    assert check["evidence"] in seen.verdict["sentence"]
    assert seen.check("connections have")["state"] == "ok"
    (napi,) = seen.document["napis"]
    assert (napi["device"], napi["queue"], napi["by_target"], napi["by_others"]) == ("veth-server", 0, 0, 0)
    # wrk goes on for a moment when netprobe has ended.
    assert 0.3 * seen.requests < napi["by_softirq"] < 1.2 * seen.requests
    assert seen.document["cross_check"] == {
        "kernel_busy_poll_rx_packets": 0, "counted_packets": 0, "disagrees": False,
    }  # fmt: skip


def test_b_zero_timeout(polled):
    """(b) The article's finding."""
    seen = polled({"busy_poll_us": 50}, {"epoll_timeout_us": 0})
    assert seen.document["polls"] == []
    assert seen.verdict["kind"] == "none"
    assert "zero timeout" in seen.verdict["sentence"]
    assert seen.check("waits are blocking")["state"] == "failed"
    assert int(re.search(r"all (\d+) waits", seen.check("waits are blocking")["evidence"])[1]) > 10_000
    assert [check["name"] for check in seen.document["checks"] if check["state"] == "failed"] == ["waits are blocking"]


def test_c_the_softirq_processes_the_packets(polled):
    """(c) Attempts, few hits."""
    seen = polled({"busy_poll_us": 50}, {"epoll_timeout_us": 100})
    assert seen.total("attempts") > 10_000
    assert seen.total("hits") < seen.total("attempts") / 5
    assert seen.verdict["kind"] == "softirq first"
    assert 0 <= seen.verdict["share_pct"] < 50
    check = seen.check("interrupts are deferred")
    assert check["state"] == "failed"
    assert "napi_defer_hard_irqs 0, gro_flush_timeout 0" in check["evidence"]
    assert "echo 2 > /sys/class/net/veth-server/napi_defer_hard_irqs" in check["fix"]
    assert "prefer" in check["fix"]
    assert {row["budget"] for row in seen.document["polls"]} == {8}


@pytest.mark.parametrize("connections", [1, 16])
def test_d_deferral_and_preference(polled, connections):
    """(d) Nearly all packets are received by busy polling."""
    seen = polled(DEFER, PREFER, connections=connections)
    assert seen.verdict["kind"] == "good"
    assert seen.verdict["share_pct"] > 80
    assert {check["state"] for check in seen.document["checks"]} <= {"ok", "not needed"}
    (row,) = seen.document["polls"]
    assert (row["thread"], row["budget"]) == ("reactor-0", 8)
    assert row["attempts"] > row["hits"] > 1000
    assert row["packets"] >= row["hits"]
    assert 0.05 < row["polling_ns"] / 1e9 < seen.document["recording"]["seconds"]
    (napi,) = seen.document["napis"]
    assert (napi["defer_hard_irqs"], napi["gro_flush_timeout_ns"]) == (2, 200_000)
    # Requests come one in a packet; acknowledgements go with them.
    everything = sum(napi[key] for key in ("by_target", "by_others", "by_softirq", "by_thread"))
    assert 0.3 * seen.requests < everything < 1.2 * seen.requests
    assert seen.document["cross_check"]["disagrees"] is False


def test_d_counts_agree_with_the_kernel(lab, look, kernel_packets):
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    with LabServer(options, namespace=up.server.namespace) as server:
        before = kernel_packets(server.pid)
        seen = look(
            "busypoll", server, namespace=up.client.namespace, cpus=(1,), connections=16, after=True
        )  # fmt: skip
        grown = kernel_packets(server.pid) - before
    check = seen.document["cross_check"]
    assert grown > 1000
    assert seen.total("packets") == pytest.approx(grown, rel=0.02)
    assert check["kernel_busy_poll_rx_packets"] == pytest.approx(grown, rel=0.02)
    assert check["counted_packets"] == pytest.approx(grown, rel=0.02)
    assert check["disagrees"] is False


def test_d_counts_in_sampling_windows_agree_with_the_kernel(lab, recording, load, tmp_path):
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    with LabServer(options, namespace=up.server.namespace) as server:
        session = recording("record", "--light", "-p", server.pid, "-d", 60, "-o", tmp_path / "run")
        with load(f"http://{up.server.address}:{server.port}/", cpus=(1,), namespace=up.client.namespace):
            time.sleep(4)
            session.stop()
    run = package.load(tmp_path / "run")
    polls, kernel = run.table("busy_polls"), run.table("polling_kernel")
    assert run.seconds < 0.3 * run.elapsed_seconds
    # The load generator polls its own end of the pair: net.core.busy_poll is the machine's.
    own, others = (polls[(polls["thread"] == "reactor-0") == mine] for mine in (True, False))
    assert set(others["thread"]) <= {"(other threads)"}
    assert not set(own["napi_id"]) & set(others["napi_id"])
    polls = own
    assert polls["packets"].sum() > 500
    # An episode that a window's end cuts off is not counted.
    assert polls["packets"].sum() == pytest.approx(kernel["busy_poll_rx_packets"].sum(), rel=0.05)
    assert polls["polling_ns"].sum() / 1e9 < 1.1 * run.seconds


def test_e_loopback(look):
    """(e) No packet comes from a device with NAPI."""
    with LabServer(ServerOptions(cpus=(0,), **PREFER)) as server:
        seen = look("busypoll", server, cpus=(1,), seconds=0.5)
    assert seen.document["polls"] == []
    assert seen.document["napis"] == []
    check = seen.check("connections have")
    assert check["state"] == "failed"
    assert re.fullmatch(r"none of 8 connections has a NAPI id: .*", check["evidence"])
    assert "Loopback" in check["fix"]
    assert seen.verdict["kind"] == "none"
    assert check["evidence"] in seen.verdict["sentence"]
    assert seen.check("busy polling is enabled")["state"] == "ok"


@pytest.mark.parametrize("defer", [False, True])
def test_f_two_napi_ids_in_one_set(lab, recording, load, napi_ids, shown, defer):
    """(f) veth selects the queue by the hash of the flow, so 32 connections use both queues."""
    up = lab(queues=2, busy_poll_us=50, defer=defer)
    parameters = PREFER if defer else {"epoll_timeout_us": 100}
    options = ServerOptions(cpus=(0,), address=up.server.address, **parameters)
    with LabServer(options, namespace=up.server.namespace) as server:
        session = recording("busypoll", "-p", server.pid, "-d", 60, "--json")
        url = f"http://{up.server.address}:{server.port}/"
        with load(url, cpus=(1,), connections=32, namespace=up.client.namespace):
            time.sleep(0.8)
            truth = napi_ids(server.pid)
            assert len(truth) == 2
            assert min(truth) > os.cpu_count()
            seen = shown(session.stop().json(), 0)
    check = seen.check("each epoll set")
    assert check["state"] == "failed"
    found = {int(number): int(count) for count, number in re.findall(r"(\d+) of NAPI (\d+)", check["evidence"])}
    assert found == dict(truth)
    assert "veth-server queue 0" in check["evidence"]
    assert "veth-server queue 1" in check["evidence"]
    assert f"process {server.pid} " in check["evidence"]
    assert "netprobe locality" in check["fix"]
    assert {napi["queue"] for napi in seen.document["napis"]} == {0, 1}
    if not defer:
        assert seen.verdict["kind"] == "mixed"
        assert "mix NAPI ids" in seen.verdict["sentence"]


def test_f_two_sets_with_one_id_each_are_not_mixed(polled):
    seen = polled({"queues": 1, **DEFER}, {"threads": 2, "cpus": (0, 0), **PREFER}, connections=32)
    assert seen.check("each epoll set")["state"] == "ok"


@pytest.mark.parametrize("budget", [1, 64, 300])
def test_g_budgets(polled, budget):
    """(g) 64 is the budget of the softirq."""
    seen = polled(DEFER, {**PREFER, "busy_poll_budget": budget})
    assert {row["budget"] for row in seen.document["polls"]} == {budget}
    assert seen.total("attempts") > 10_000
    assert seen.verdict["share_pct"] > 50
    assert seen.verdict["kind"] == "good"
    assert seen.document["cross_check"]["disagrees"] is False


def test_g_budget_64_without_polling(polled):
    """Parameters are set, but the timeout is zero: softirqs that interrupt the thread are no busy polls."""
    seen = polled({"busy_poll_us": 50}, {"epoll_timeout_us": 0, "busy_poll_us": 200, "busy_poll_budget": 64})
    assert seen.total("attempts") == 0
    (napi,) = seen.document["napis"]
    assert (napi["by_target"], napi["by_others"]) == (0, 0)
    assert napi["by_softirq"] > 10_000


def test_g_ksoftirqd_does_not_busy_poll(lab, recording, load, shown):
    """Softirqs in ksoftirqd run on the stack of a task, and their budget is the weight of the device.

    It gives an instance of the client's back, wrk takes it (net.core.busy_poll is the machine's), and only then comes
    the tracepoint. Programs that want the CPUs too make that frequent.
    """
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    spin = ["nice", "-n", "10", sys.executable, "-c", "while True: pass"]
    with LabServer(options, namespace=up.server.namespace) as server, ExitStack() as stack:
        session = recording("busypoll", "-p", server.pid, "-d", 60, "--json")
        for cpu in ("0", "1"):
            one = subprocess.Popen(["taskset", "-c", cpu, *spin])
            stack.callback(one.wait)
            stack.callback(one.kill)
        with load(f"http://{up.server.address}:{server.port}/", (1,), 16, up.client.namespace):
            time.sleep(3)
        stack.close()
        seen = shown(session.stop().json(), 0)
    assert {(row["napi_id"], row["budget"]) for row in seen.document["polls"]} == {
        (seen.document["napis"][0]["napi_id"], 8)
    }
    assert [napi["device"] for napi in seen.document["napis"]] == ["veth-server"]
    assert seen.document["cross_check"]["disagrees"] is False


def test_h_io_uring(polled):
    """(h)"""
    seen = polled(DEFER, {**PREFER, "backend": "io_uring"})
    assert seen.total("attempts") > 10_000
    assert seen.verdict["share_pct"] > 50
    assert seen.verdict["kind"] == "good"
    assert "1 of 1 (200 µs)" in seen.check("busy polling is enabled")["evidence"]


def test_a_ring_without_parameters(polled):
    seen = polled({"busy_poll_us": 0}, {"backend": "io_uring"})
    assert seen.document["polls"] == []
    assert seen.check("busy polling is enabled")["state"] == "failed"


def test_parameters_of_the_epoll_set_suffice(polled):
    """net.core.busy_poll is 0; the epoll set has its own parameters."""
    seen = polled({"busy_poll_us": 0, "defer": True}, PREFER)
    assert seen.verdict["kind"] == "good"
    evidence = seen.check("busy polling is enabled")["evidence"]
    assert "net.core.busy_poll = 0" in evidence
    assert "1 of 1 (200 µs)" in evidence


def test_threaded_napi(lab, look, inside):
    up = lab(queues=1, busy_poll_us=0)
    inside(up.server.namespace, "sh", "-c", f"echo 1 > /sys/class/net/{up.server.device}/threaded")
    with LabServer(ServerOptions(cpus=(0,), address=up.server.address), namespace=up.server.namespace) as server:
        seen = look("busypoll", server, namespace=up.client.namespace, cpus=(1,), connections=16)
    (napi,) = seen.document["napis"]
    assert napi["by_thread"] > 10_000
    assert napi["by_softirq"] < napi["by_thread"] / 50
    assert napi["by_target"] == 0


def test_rates_do_not_depend_on_the_length(lab, recording, load, shown):
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    with LabServer(options, namespace=up.server.namespace) as server:
        url = f"http://{up.server.address}:{server.port}/"

        def rates(seconds):
            session = recording("busypoll", "-p", server.pid, "-d", seconds, "--json", attached=False)
            with load(url, cpus=(1,), connections=16, namespace=up.client.namespace):
                seen = shown(session.finish().json(), 0)
            length = seen.document["recording"]["seconds"]
            assert length == pytest.approx(seconds, abs=0.2)
            found = {column: seen.total(column) / length for column in ("attempts", "packets", "polling_ns")}
            return found | {"share": seen.verdict["share_pct"]}

        short, long = rates(1), rates(3)
    # Something counted since the start, or twice, would make a factor of three.
    for column, value in long.items():
        assert 0.5 * short[column] < value < 2 * short[column], (column, short, long)


def test_a_server_without_load(lab, netprobe, shown):
    up = lab(queues=1, **DEFER)
    with LabServer(ServerOptions(address=up.server.address, **PREFER), namespace=up.server.namespace) as server:
        seen = shown(netprobe("busypoll", "-p", str(server.pid), "-d", "0.3", "--json").json(), 0)
    assert seen.verdict["kind"] == "inconclusive"
    assert seen.check("connections have")["state"] == "inconclusive"
    assert seen.verdict["share_pct"] is None


def test_the_whole_machine(lab, recording, load, shown):
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    with LabServer(options, namespace=up.server.namespace) as server:
        session = recording("busypoll", "-d", 60, "--json")
        with load(f"http://{up.server.address}:{server.port}/", (1,), 16, up.client.namespace):
            time.sleep(0.7)
            seen = shown(session.stop().json(), 0)
    rows = {row["thread"]: row for row in seen.document["polls"]}
    assert rows["reactor-0"]["packets"] > 1000
    assert rows["reactor-0"]["pid"] == server.pid


# ---- Forced ways, output ----


@pytest.mark.parametrize("way", ["fentry", "kprobe"])
def test_forced_attach_mechanisms_of_the_loop(netprobe, monkeypatch, way):
    """An optional part of the result may be missing, and is reported as missing."""
    monkeypatch.setenv("NETPROBE_TEST_ATTACH_MECHANISM", way)
    done = netprobe("busypoll", "-d", "0.2", "--json")
    if done.status == 0:
        assert done.json()["attach_mechanisms"]["entries into the poll loop"] in (way, "not on this kernel")
    else:
        assert "order in which listeners join" in done.refused()


def test_text_json_and_run_agree(lab, recording, load, tmp_path):
    up = lab(queues=1, **DEFER)
    options = ServerOptions(cpus=(0,), address=up.server.address, **PREFER)
    with LabServer(options, namespace=up.server.namespace) as server:
        text = recording("busypoll", "-p", server.pid, "-d", 60, "-o", tmp_path / "run")
        with load(f"http://{up.server.address}:{server.port}/", (1,), 16, up.client.namespace):
            time.sleep(0.7)
            done = text.stop()
    run = package.load(tmp_path / "run")
    table = run.table("busy_polls")
    own = table[table["tid"] != 0]
    attempts, hits = int(own["attempts"].sum()), int(own["hits"].sum())
    assert attempts > 1000
    assert f"Busy polling works: {attempts} attempts, {hits} hits (" in done.out
    (line,) = [line for line in done.out.splitlines() if " reactor-0 " in line]
    words = line.split()
    assert float(words[7]) == pytest.approx(attempts / run.seconds, rel=0.01)
    assert "FAILED" not in done.out
    assert "Fix:" not in done.out
    assert dict(run.table("polling_settings").to_dict("split")["data"])["net.core.busy_poll"] == 50
    (found,) = run.table("polling_sets").query("kind == 'epoll'").to_dict("records")
    assert (found["busy_poll_us"], found["prefer"], found["connections"]) == (200, True, 16)
    (napi,) = run.table("napis").query("device == 'veth-server'").to_dict("records")
    assert napi["gro_flush_timeout_ns"] == 200_000


def test_fixes_are_printed(lab, recording, load):
    up = lab(queues=1, busy_poll_us=50)
    options = ServerOptions(cpus=(0,), address=up.server.address, epoll_timeout_us=0)
    with LabServer(options, namespace=up.server.namespace) as server:
        session = recording("busypoll", "-p", server.pid, "-d", 60)
        with load(f"http://{up.server.address}:{server.port}/", (1,), 16, up.client.namespace):
            time.sleep(0.5)
            lines = session.stop().out.splitlines()
    assert any(line.startswith("FAILED  waits are blocking") for line in lines)
    assert any(line.startswith("No busy polling: all ") and line.endswith("before it polls.") for line in lines)
    assert any(line.startswith("Fix: Wait with a timeout") for line in lines)


def test_hostile_device_names(lab, inside, recording, load):
    up = lab(queues=1, busy_poll_us=50)
    for words in (["down"], ["name", "a\u202eb$(x)"]):
        inside(up.server.namespace, "ip", "link", "set", up.server.device, *words)
    inside(up.server.namespace, "ip", "link", "set", "a\u202eb$(x)", "up")
    options = ServerOptions(cpus=(0,), address=up.server.address)
    with LabServer(options, namespace=up.server.namespace) as server:
        session = recording("busypoll", "-p", server.pid, "-d", 60)
        with load(f"http://{up.server.address}:{server.port}/", (1,), 16, up.client.namespace):
            time.sleep(0.5)
            printed = session.stop().out
    assert "the softirq processes the packets first" in printed
    assert "\u202e" not in printed
    assert "\x00" not in printed


def test_no_namespace_or_setting_is_left():
    """The fixture of the lab checks the same; this test is for runs of a single test."""
    assert Path("/proc/sys/net/core/busy_poll").read_text() == "0\n"
