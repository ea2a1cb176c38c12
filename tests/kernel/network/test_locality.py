"""`netprobe locality` on the lab server: each fault is named and visible in the matrix."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

import netprobe as package
from netprobe.lab.nginx import free_port
from netprobe.lab.server import LabServer, ServerOptions, build

pytestmark = [
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs"),
    pytest.mark.timing("the CPU that receives depends on where the load generator runs"),
]
TWO = {"threads": 2, "cpus": (0, 1)}


def test_right_order(look):
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        seen = look("locality", server)
    assert (seen.group["steering"], seen.group["size"], seen.group["port"]) == ("cbpf", 2, server.port)
    assert "returns the CPU number" in seen.group["steering_text"]
    assert seen.evaluated() == [(0, "reactor-0", "right"), (1, "reactor-1", "right")]
    assert [member["steered_cpus"] for member in seen.group["members"]] == [[0], [1]]
    assert [list(m["served_by"][0]["messages_by_cpu"]) for m in seen.group["members"]] == [["0"], ["1"]]
    assert seen.diagonal_pct >= 99
    assert min(seen.matrix()[0, 0], seen.matrix()[1, 1]) > 1000
    assert seen.verdict["kind"] == "perfect"
    assert seen.verdict["reasons"] == []
    assert seen.verdict["local_pct"] == pytest.approx(seen.diagonal_pct, abs=0.01)


def test_reversed_order(look):
    with LabServer(ServerOptions(**TWO, steer="cbpf", listen_order="reversed")) as server:
        seen = look("locality", server)
    assert seen.evaluated() == [(0, "reactor-1", "wrong"), (1, "reactor-0", "wrong")]
    assert [member["reason"] for member in seen.group["members"]] == [
        "packets of CPU 0; reactor-1 runs on CPU 1", "packets of CPU 1; reactor-0 runs on CPU 0",
    ]  # fmt: skip
    assert seen.diagonal_pct < 2
    assert min(seen.matrix()[0, 1], seen.matrix()[1, 0]) > 1000
    assert seen.verdict["kind"] == "broken"
    assert len(seen.verdict["reasons"]) == 1
    assert re.search(r"wrong order: indexes 0, 1, … are served on CPU 1, 0", seen.verdict["sentence"])


def test_a_thread_is_named_once(look):
    """Although it both waits on the epoll set and accepts."""
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        seen = look("locality", server, seconds=0.3)
    assert [[one["thread"] for one in member["served_by"]] for member in seen.group["members"]] == [
        ["reactor-0"], ["reactor-1"],
    ]  # fmt: skip


def test_the_articles_order(groups):
    """Threads in the order 0, 2, 1, 3, on two CPUs: two right, two wrong."""
    options = ServerOptions(threads=4, cpus=(0, 1, 0, 1), steer="cbpf", listen_order=(0, 2, 1, 3))
    with LabServer(options) as server:
        seen, _ = groups(server.pid)
    evaluated = seen.evaluated()
    assert evaluated[:2] == [(0, "reactor-0", "right"), (1, "reactor-2", "wrong")]
    # Only CPUs that are online have packets.
    cpus = os.cpu_count()
    assert evaluated[2:] == [
        (2, "reactor-1", "idle" if cpus < 3 else "wrong"),
        (3, "reactor-3", "idle" if cpus < 4 else "wrong"),
    ]


def test_no_steering(look):
    with LabServer(ServerOptions(**TWO)) as server:
        seen = look("locality", server, connections=48)
    assert seen.group["steering"] == "none"
    assert "hash" in seen.group["steering_text"]
    assert seen.evaluated() == [(0, "reactor-0", "unsteered"), (1, "reactor-1", "unsteered")]
    assert 25 < seen.diagonal_pct < 75
    assert seen.verdict["kind"] == "broken"
    assert "no steering" in seen.verdict["sentence"]


def test_a_thread_that_is_not_pinned(look, threads_of, groups):
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        os.sched_setaffinity(threads_of(server.pid)["reactor-1"], {0, 1})
        seen = look("locality", server)
        still, _ = groups(server.pid)
    for here in (seen, still):
        assert here.evaluated() == [(0, "reactor-0", "right"), (1, "reactor-1", "not pinned")]
        assert here.group["members"][1]["reason"] == "packets of CPU 1; reactor-1 may run on CPU 0, 1"
    assert still.verdict["kind"] == "broken"
    assert "reactor-1" in still.verdict["sentence"]
    assert "not pinned" in still.verdict["sentence"]
    assert "reactor-0" not in still.verdict["sentence"]


def test_ebpf_steering(look):
    with LabServer(ServerOptions(**TWO, steer="ebpf")) as server:
        seen = look("locality", server)
    assert seen.group["steering"] == "ebpf"
    assert [member["verdict"] for member in seen.group["members"]] == ["inconclusive"] * 2
    assert [member["steered_cpus"] for member in seen.group["members"]] == [None, None]
    assert seen.diagonal_pct >= 99
    assert seen.verdict["kind"] == "perfect"


@pytest.mark.parametrize(("swapped", "diagonal"), [(False, (99, 100)), (True, (0, 2))])
def test_incoming_cpu(look, threads_of, swapped, diagonal):
    """The lab server sets SO_INCOMING_CPU to the CPU of the thread; the order does not matter then."""
    options = ServerOptions(**TWO, steer="incoming-cpu", listen_order="reversed")
    with LabServer(options) as server:
        if swapped:
            for name, cpu in (("reactor-0", 1), ("reactor-1", 0)):
                os.sched_setaffinity(threads_of(server.pid)[name], {cpu})
        seen = look("locality", server)
    result = "wrong" if swapped else "right"
    assert seen.group["steering"] == "incoming-cpu"
    assert [member["steered_cpus"] for member in seen.group["members"]] == [[1], [0]]
    assert seen.evaluated() == [(0, "reactor-1", result), (1, "reactor-0", result)]
    assert diagonal[0] <= seen.diagonal_pct <= diagonal[1]
    assert seen.verdict["kind"] == ("broken" if swapped else "perfect")


def test_pre_forked_workers(look):
    with LabServer(ServerOptions(processes=2, cpus=(0, 1), steer="cbpf")) as server:
        seen = look("locality", server)
    first, second = seen.group["members"]
    workers = [member["served_by"][0]["pid"] for member in (first, second)]
    assert set(first["owner_pids"]) == set(second["owner_pids"]) == {server.pid, *workers}
    assert len({server.pid, *workers}) == 3
    assert [verdict for _, _, verdict in seen.evaluated()] == ["right", "right"]
    assert seen.diagonal_pct >= 99
    assert {row["pid"] for row in seen.document["messages"]} == set(workers)


@pytest.mark.parametrize("connections", [16, 64])
def test_every_message_is_counted(look, connections):
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        seen = look("locality", server, seconds=2, after=True, connections=connections)
    assert seen.requests > 40_000
    assert seen.messages == pytest.approx(seen.requests, rel=0.01)
    assert seen.verdict["messages"] == pytest.approx(seen.messages, abs=2)
    assert seen.document["dropped"] == []
    served = {index: counts.requests for index, counts in server.counts.items()}
    by_thread: Counter[str] = Counter()
    for row in seen.document["messages"]:
        by_thread[row["thread"]] += row["messages"]
    # The server itself says how many requests each reactor had.
    assert by_thread["reactor-0"] == pytest.approx(served[0], rel=0.001)
    assert by_thread["reactor-1"] == pytest.approx(served[1], rel=0.001)


def test_one_cpu_sends_all(look):
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        seen = look("locality", server, cpus=(1,))
    assert seen.matrix()[1, 1] > 1000
    assert seen.matrix()[0, 0] < seen.messages / 100


def test_io_uring_messages(look):
    with LabServer(ServerOptions(**TWO, steer="cbpf", backend="io_uring")) as server:
        seen = look("locality", server, after=True)
    assert seen.messages == pytest.approx(seen.requests, rel=0.01)
    assert seen.diagonal_pct >= 99


def test_every_message_counts(gated, recording):
    """At more than 100,000 messages per second, none is lost."""
    messages = 1_000_003
    target = gated("messages", messages)
    session = recording("locality", "-p", target.pid, "-d", 60, "--json")
    ns = int(target.go())
    document = session.finish().json()
    assert messages / (ns / 1e9) > 100_000
    assert sum(row["messages"] for row in document["messages"]) == messages
    assert not document["dropped"]


def test_accepted_connections_are_counted_separately(recording, load, tmp_path):
    """Messages that a proxy reads from its backend are no requests."""
    run = tmp_path / "run"
    with LabServer(ServerOptions(**TWO)) as server:
        session = recording("locality", "-d", 60, "-o", run)
        with load(f"http://127.0.0.1:{server.port}/"):
            time.sleep(0.5)
        session.stop()
    messages = package.load(run).table("messages").groupby("process")[["messages", "accepted"]].sum()
    loaded, served = messages.loc["wrk"], messages.drop("wrk").sum()
    assert loaded["accepted"] == 0
    assert loaded["messages"] > 1000
    assert served["accepted"] == served["messages"] > 1000


@pytest.mark.parametrize(("listens", "reached"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")])
def test_clients_on_this_host_are_counted_separately(look, tmp_path, listens, reached):
    """The second address is a mapped one where a listener of both families takes a connection by IPv4."""
    with LabServer(ServerOptions(threads=1, cpus=(0,), address=listens)) as server:
        seen = look("locality", server, "-o", tmp_path / "run", address=reached, cpus=(1,))
    messages = package.load(tmp_path / "run").table("messages")
    assert messages["same_host"].sum() == messages["messages"].sum() > 1000
    assert seen.diagonal_pct < 10
    assert seen.verdict["kind"] == "inconclusive"
    assert "clients run on this host" in seen.verdict["reasons"][0]


@pytest.mark.parametrize("family", [4, 6])
def test_clients_behind_a_device_are_counted_separately(look, lab, tmp_path, family):
    up = lab(queues=1)
    address = up.server.address if family == 4 else up.server.address6
    with LabServer(ServerOptions(threads=1, cpus=(0,), address=address), namespace=up.server.namespace) as server:
        look("locality", server, "-o", tmp_path / "run", namespace=up.client.namespace)
    messages = package.load(tmp_path / "run").table("messages")
    assert messages["messages"].sum() > 1000
    assert messages["same_host"].sum() == 0


# ---- Against another program ----

BPFTRACE = """
tracepoint:tcp:tcp_probe /args->data_len > 0/ { @rx[args->sock_cookie] = cpu; }
tracepoint:tcp:tcp_rcv_space_adjust /pid == %d/ { @read[@rx[args->sock_cookie], cpu] = count(); }
BEGIN { printf("attached\\n"); }
END { clear(@rx); }
"""
WITH_TRACEFS = ["unshare", "-m", "sh", "-c", 'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh"]


@pytest.mark.parametrize("steer", ["none", "cbpf"])
def test_the_matrix_agrees_with_bpftrace(look, recording, load, steer, shown):
    if shutil.which("bpftrace") is None:
        pytest.skip("bpftrace is not installed")
    with LabServer(ServerOptions(**TWO, steer=steer)) as server:
        session = recording("locality", "-p", server.pid, "-d", 60, "--json")
        command = [*WITH_TRACEFS, "bpftrace", "-e", BPFTRACE % server.pid]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
            begun = [other.stdout.readline(), other.stdout.readline()]
            if "attached\n" not in begun:
                other.kill()
                pytest.skip(f"bpftrace does not run here: {begun} {other.stderr.read()}")
            time.sleep(0.3)
            with load(f"http://127.0.0.1:{server.port}/", connections=16):
                time.sleep(1)
            other.send_signal(signal.SIGINT)
            said, _ = other.communicate(timeout=20)
        seen = shown(session.stop().json(), 0)
    theirs = Counter({(int(rx), int(cpu)): int(n) for rx, cpu, n in re.findall(r"@read\[(\d+), (\d+)\]: (\d+)", said)})
    assert theirs.total() > 10_000, said
    ours = seen.matrix()
    assert ours.total() == pytest.approx(theirs.total(), rel=0.02)
    for cell in {*ours, *theirs}:
        assert ours[cell] == pytest.approx(theirs[cell], abs=0.03 * theirs.total()), (cell, ours, theirs)


# ---- Ways in, output ----


def test_the_tracepoint_mechanism(recording, monkeypatch):
    monkeypatch.setenv("NETPROBE_TEST_ATTACH_MECHANISM", "tracepoint")
    session = recording("locality", "--json", "--", build(), "--threads=2")
    document = session.stop().json()
    assert document["attach_mechanisms"] == {"order in which listeners join": "tracepoint"}
    assert [member["joined_by"] for member in document["groups"][0]["members"]] == ["reactor-0", "reactor-1"]


@pytest.mark.parametrize("way", ["fentry", "kprobe"])
def test_forced_attach_mechanisms(netprobe, monkeypatch, way):
    """The mechanism works, or the kernel refuses it and that is reported."""
    monkeypatch.setenv("NETPROBE_TEST_ATTACH_MECHANISM", way)
    with LabServer(ServerOptions(threads=2)) as server:
        done = netprobe("locality", "-p", str(server.pid), "-d", "0.2", "--json")
    if done.status == 0:
        assert done.json()["attach_mechanisms"] == {"order in which listeners join": way}
        return
    said = done.refused()
    assert "order in which listeners join" in said
    assert "refused" in said or "not" in said
    assert "Operation not permitted" in said or "reuseport_" in said


def test_json_text_and_run_agree(recording, load, tmp_path, shown):
    run = tmp_path / "run"
    with LabServer(ServerOptions(**TWO, steer="cbpf", listen_order="reversed")) as server:
        session = recording("locality", "-p", server.pid, "-d", 60, "--json", "-o", run)
        with load(f"http://127.0.0.1:{server.port}/"):
            time.sleep(0.5)
        seen = shown(session.stop().json(), 0)
    loaded = package.load(run)
    messages = loaded.table("messages")
    in_run = messages.groupby(["rx_cpu", "cpu"])["messages"].sum().to_dict()
    assert in_run == dict(seen.matrix())
    assert set(messages["thread"]) == {"reactor-0", "reactor-1"}
    members = loaded.table("reuseport_members").sort_values("index")
    rows = set(zip(members["index"], members["thread"], members["cpus_allowed"], strict=True))
    assert rows == {(0, "reactor-1", "1"), (1, "reactor-0", "0")}
    (group,) = loaded.table("reuseport_groups").to_dict("records")
    assert (group["port"], group["size"], group["steering"]) == (server.port, 2, "cbpf")


def test_text(recording, load):
    with LabServer(ServerOptions(**TWO, steer="cbpf", listen_order="reversed")) as server:
        session = recording("locality", "-p", server.pid, "-d", 60)
        with load(f"http://127.0.0.1:{server.port}/"):
            time.sleep(0.5)
        done = session.stop()
    assert done.status == 0
    lines = done.out.splitlines()
    assert f"TCP 127.0.0.1:{server.port}: 2 listeners, steering: cBPF program: returns the CPU number" in lines
    rows = [line.split() for line in lines if "reactor-" in line and "WRONG" in line]
    assert {(row[0], row[1], row[2], row[5]) for row in rows} == {
        ("0", "0", "reactor-1", "1"), ("1", "1", "reactor-0", "0")
    }  # fmt: skip
    (matrix,) = [line for line in lines if line.startswith("received on CPU 0")]
    local, remote = matrix.split()[4:]
    assert (0 if local == "·" else int(local)) < int(remote) / 20
    assert any(line.startswith("Locality is broken: the listeners of") for line in lines)


# ---- TX ----


def test_tx_queues(look, lab, inside):
    """With XPS the CPU determines the queue: the packets of each reactor go into its own queue."""
    up = lab(queues=2)
    for queue in (0, 1):
        path = f"/sys/class/net/{up.server.device}/queues/tx-{queue}/xps_cpus"
        inside(up.server.namespace, "sh", "-c", f"echo {1 << queue} > {path}")
    options = ServerOptions(**TWO, steer="cbpf", address=up.server.address)
    with LabServer(options, namespace=up.server.namespace) as server:
        seen = look("locality", server, namespace=up.client.namespace, after=True)
    rows = [row for row in seen.document["sent_packets"] if row["device"] == up.server.device]
    assert {row["tx_queues"] for row in rows} == {2}
    cells = {(row["cpu"], row["tx_queue"]): row["packets"] for row in rows}
    assert set(cells) == {(0, 0), (1, 1)}
    # A reply is a packet; acknowledgements of their own are few.
    assert sum(cells.values()) == pytest.approx(seen.requests, rel=0.05)


def test_tx_queues_without_xps(look, lab):
    up = lab(queues=2)
    options = ServerOptions(threads=1, cpus=(0,), address=up.server.address)
    with LabServer(options, namespace=up.server.namespace) as server:
        seen = look("locality", server, namespace=up.client.namespace, cpus=(1,), connections=32)
    rows = [row for row in seen.document["sent_packets"] if row["device"] == up.server.device]
    cells = {(row["cpu"], row["tx_queue"]): row["packets"] for row in rows}
    assert set(cells) == {(0, 0), (0, 1)}
    assert min(cells.values()) > 500


def test_packets_of_others_are_not_the_targets(look, lab):
    """Softirqs that interrupt the server send the client's acknowledgements, on the client's device."""
    up = lab(queues=2)
    options = ServerOptions(threads=1, cpus=(0,), address=up.server.address)
    with LabServer(options, namespace=up.server.namespace) as server:
        seen = look("locality", server, namespace=up.client.namespace, cpus=(0,), connections=32)
    assert {row["device"] for row in seen.document["sent_packets"]} == {up.server.device}


def test_one_tx_queue_is_no_matrix(look):
    with LabServer(ServerOptions()) as server:
        assert look("locality", server, seconds=0.3).document["sent_packets"] == []


# ---- Names that would act on a terminal ----


@pytest.mark.parametrize("name", [b"\x1b[31mred", b"bad\xff", "a\u202eb".encode(), b"two\nlines"])
def test_hostile_thread_names(recording, load, start, script, name):
    """In the table of members, in the matrix, and in the sentence of the verdict."""
    port = free_port()
    server = start(script("accept", "127.0.0.1", port, "cbpf", f"name={name.hex()}"), "127.0.0.1", port)
    text = recording("locality", "-p", server.pid, "-d", 60)
    document = recording("locality", "-p", server.pid, "-d", 60, "--json")
    with load(f"http://127.0.0.1:{port}/", connections=1):
        time.sleep(0.3)
    printed, members = text.stop().out, document.stop().json()["groups"][0]["members"]
    shown = name.decode("utf-8", "backslashreplace")
    assert {one["thread"] for member in members for one in member["served_by"]} == {shown}
    assert "NOT PINNED" in printed
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", printed), printed


@pytest.mark.parametrize("name", [b"\x1b[31mred", "a\u202eb".encode(), b"two\nlines"])
def test_hostile_thread_names_in_the_verdict(netprobe, start, script, name):
    port = free_port()
    server = start(script("accept", "127.0.0.1", port, "cbpf", f"name={name.hex()}"), "127.0.0.1", port)
    time.sleep(0.2)
    printed = netprobe("locality", "-p", str(server.pid), "--groups-only").out
    assert "Locality is broken" in printed
    assert "pinned to a CPU" in printed
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", printed), printed


def test_a_renamed_device(look, lab, inside):
    """In kernel memory, the rest of the longer, former name follows the new one."""
    up = lab(queues=2)
    for words in (["down"], ["name", "new"]):
        inside(up.server.namespace, "ip", "link", "set", up.server.device, *words)
    inside(up.server.namespace, "ip", "link", "set", "new", "up")
    with LabServer(ServerOptions(cpus=(0,), address=up.server.address), namespace=up.server.namespace) as server:
        seen = look("locality", server, cpus=(1,), namespace=up.client.namespace, seconds=0.3)
    devices = {row["device"] for row in seen.document["sent_packets"]}
    assert devices - {up.client.device} == {"new"}


def test_hostile_device_names(lab, inside, recording, load):
    """A device may have any name without a slash, a colon or a space."""
    up = lab(queues=2)
    inside(up.server.namespace, "ip", "link", "set", up.server.device, "down")
    inside(up.server.namespace, "ip", "link", "set", up.server.device, "name", "a\u202eb")
    inside(up.server.namespace, "ip", "link", "set", "a\u202eb", "up")
    with LabServer(ServerOptions(cpus=(0,), address=up.server.address), namespace=up.server.namespace) as server:
        session = recording("locality", "-p", server.pid, "-d", 60)
        with load(f"http://{up.server.address}:{server.port}/", cpus=(1,), namespace=up.client.namespace):
            time.sleep(0.3)
        printed = session.stop().out
    assert "\u202e" not in printed
    assert "a\\u202eb, 2 TX queues\n" in printed
