"""Groups of every kind: large, IPv6, UDP, of other servers, in other namespaces, forming and shrinking."""

import os
import signal
import time

import pytest

from netprobe.lab.nginx import Nginx, NginxOptions, free_port
from netprobe.lab.server import LabServer, ServerOptions, build

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
TWO = {"threads": 2, "cpus": (0, 1)}


@pytest.mark.parametrize("size", [64, 128, 129, 300])
def test_large_groups(groups, size):
    with LabServer(ServerOptions(**TWO, steer="cbpf", listeners=size - 2)) as server:
        seen, *times = groups(server.pid)
        times += [groups(server.pid)[1] for _ in range(2)]
    assert seen.group["size"] == size
    assert [member["index"] for member in seen.group["members"]] == list(range(size))
    served = {m["index"]: m["served_by"][0]["thread"] for m in seen.group["members"] if m["served_by"]}
    assert served == {0: "reactor-0", 1: "reactor-1"}
    assert {m["verdict"] for m in seen.group["members"][os.cpu_count() :]} == {"idle"}
    assert min(times) < 1.5


@pytest.mark.timing("depends on when the server starts its threads")
def test_groups_only_is_fast_and_covers_the_whole_machine(netprobe, shown):
    with LabServer(ServerOptions(**TWO, steer="cbpf", listeners=62)) as server:
        document = netprobe("locality", "--groups-only", "--json").json()
        found = [group for group in shown(document, 0).document["groups"] if group["port"] == server.port]
    assert [group["size"] for group in found] == [64]
    assert found[0]["members"][0]["served_by"][0]["pid"] == server.pid


@pytest.mark.parametrize(
    ("address", "ask", "dual_stack"),
    [("::1", ["::1"], None), ("::", ["127.0.0.1", "::1"], True), ("0.0.0.0", ["127.0.0.1"], False)],
)
def test_addresses(look, address, ask, dual_stack):
    with LabServer(ServerOptions(**TWO, steer="cbpf", address=address)) as server:
        for one in ask:
            seen = look("locality", server, address=one, seconds=0.5)
            assert seen.group["address"] == address
            if dual_stack is not None:
                assert seen.group["dual_stack"] is dual_stack
            assert [verdict for _, _, verdict in seen.evaluated()] == ["right", "right"]
            assert seen.messages > 1000
            assert seen.diagonal_pct >= 99


@pytest.mark.parametrize(("order", "verdict"), [((), "right"), ("reversed", "wrong")])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_udp(groups, order, verdict, address):
    with LabServer(ServerOptions(**TWO, steer="cbpf", udp=True, listen_order=order, address=address)) as server:
        seen, _ = groups(server.pid)
    assert (seen.group["protocol"], seen.group["size"], seen.group["port"]) == ("udp", 2, server.port)
    threads = ["reactor-0", "reactor-1"]
    assert seen.evaluated() == [
        (index, name, verdict) for index, name in enumerate(threads if verdict == "right" else threads[::-1])
    ]


def test_the_last_member_gets_the_index_of_a_closed_one(recording, groups, wait_for):
    options = ServerOptions(threads=3, cpus=(0, 0, 1), steer="cbpf", close_listener=1)
    with LabServer(options) as server:
        before, _ = groups(server.pid)
        session = recording("locality", "-p", server.pid, "-d", 60, "--json")
        os.kill(server.pid, signal.SIGUSR1)
        wait_for(lambda: groups(server.pid)[0].group["size"] == 2, "the closed listener")
        after, _ = groups(server.pid)
        during = session.stop().json()
    assert [(index, name) for index, name, _ in before.evaluated()] == [
        (0, "reactor-0"), (1, "reactor-1"), (2, "reactor-2"),
    ]  # fmt: skip
    assert before.evaluated()[1][2] == "wrong"
    assert after.evaluated() == [(0, "reactor-0", "right"), (1, "reactor-2", "right")]
    assert during["groups"][0]["changed_while_recording"] is True
    assert [m["index"] for m in during["groups"][0]["members"]] == [0, 1]
    assert after.group["changed_while_recording"] is False


def table(group):
    """Fields of the members that are equal in two runs of a server."""
    servers = ("process", "thread", "how", "cpus_allowed")
    return [
        (
            m["index"],
            m["steered_cpus"],
            m["verdict"],
            m["reason"],
            [[s[key] for key in servers] for s in m["served_by"]],
        )
        for m in group["members"]
    ]


@pytest.mark.timing("depends on when the server starts its threads")
@pytest.mark.parametrize("order", [(), "reversed", (1, 2, 0)])
def test_attached_before_and_after_start_agree(recording, groups, shown, order, wait_for):
    options = ServerOptions(threads=3, cpus=(0, 1, 1), steer="cbpf", listen_order=order, port=free_port())
    session = recording("locality", "--json", "--", build(), *options.argv())
    time.sleep(0.3)
    early = shown(session.stop().json(), 0)
    with LabServer(options) as server:
        late, _ = groups(server.pid)
    assert table(early.group) == table(late.group)
    listening = {(): [0, 1, 2], "reversed": [2, 1, 0]}.get(order, list(order))
    members = early.group["members"]
    assert [member["joined_by"] for member in members] == [f"reactor-{number}" for number in listening]
    assert [member["served_by"][0]["thread"] for member in members] == [f"reactor-{number}" for number in listening]
    assert [member["joined_cpu"] for member in members] == [options.cpus[number] for number in listening]
    times = [member["joined_s"] for member in members]
    assert times == sorted(times)
    assert len(set(times)) == 3
    assert all(-1 < joined < 1 for joined in times)
    assert [member["joined_s"] for member in late.group["members"]] == [None] * 3


@pytest.mark.timing("depends on when the server starts its threads")
def test_a_recording_of_an_idle_server(groups):
    with LabServer(ServerOptions(**TWO, steer="cbpf")) as server:
        time.sleep(0.2)
        seen, _ = groups(server.pid)
    assert seen.evaluated() == [(0, "reactor-0", "right"), (1, "reactor-1", "right")]
    assert {m["served_by"][0]["how"] for m in seen.group["members"]} == {"epoll"}
    assert seen.verdict["kind"] == "inconclusive"
    assert "no TCP message" in seen.verdict["sentence"]


def test_threads_that_block_in_accept(start, script, groups):
    port = free_port()
    server = start(script("accept", "127.0.0.1", port), "127.0.0.1", port)
    time.sleep(0.2)
    seen, _ = groups(server.pid)
    assert [[one["how"] for one in m["served_by"]] for m in seen.group["members"]] == [["accept"], ["accept"]]
    assert len({m["served_by"][0]["tid"] for m in seen.group["members"]}) == 2


def test_another_network_namespace(look, lab):
    up = lab(queues=2)
    options = ServerOptions(**TWO, steer="cbpf", address=up.server.address)
    with LabServer(options, namespace=up.server.namespace) as server:
        seen = look("locality", server, namespace=up.client.namespace, after=True)
    assert (seen.group["address"], seen.group["port"]) == (up.server.address, server.port)
    assert seen.evaluated() == [(0, "reactor-0", "right"), (1, "reactor-1", "right")]
    assert seen.messages == pytest.approx(seen.requests, rel=0.01)


def test_a_process_without_a_group(groups, start, script):
    port = free_port()
    server = start(script("poll", "127.0.0.1", port), "127.0.0.1", port)
    with LabServer(ServerOptions(**TWO)):
        seen, _ = groups(server.pid)
    assert seen.document["groups"] == []


# ---- Other people's servers ----


def test_nginx(look):
    with Nginx(NginxOptions(workers=2)) as server:
        workers = set(server.workers())
        seen = look("locality", server, url=server.url, after=True)
    assert (seen.group["size"], seen.group["steering"]) == (2, "none")
    assert [member["index"] for member in seen.group["members"]] == [0, 1]
    for member in seen.group["members"]:
        assert set(member["owner_pids"]) == {server.pid, *workers}
        assert len({one["tid"] for one in member["served_by"]}) == 1
    assert {member["served_by"][0]["pid"] for member in seen.group["members"]} == workers
    assert seen.messages == pytest.approx(seen.requests, rel=0.01)
    assert {row["pid"] for row in seen.document["messages"]} <= workers


def test_nginx_without_reuseport(look):
    with Nginx(NginxOptions(workers=2, reuseport=False)) as server:
        seen = look("locality", server, url=server.url)
    assert seen.document["groups"] == []
    assert seen.messages > 1000


def test_haproxy(look, haproxy):
    server = haproxy("127.0.0.1", free_port())
    seen = look("locality", server, connections=32, after=True)
    assert (seen.group["size"], seen.group["steering"]) == (2, "none")
    threads = [{one["tid"] for one in member["served_by"]} for member in seen.group["members"]]
    assert sorted(len(tids) for tids in threads) == [1, 1]
    assert threads[0] != threads[1]
    assert {pid for member in seen.group["members"] for pid in member["owner_pids"]} == {server.pid}
    assert seen.messages == pytest.approx(seen.requests, rel=0.01)
    by_member = [sum(member["served_by"][0]["messages_by_cpu"].values()) for member in seen.group["members"]]
    assert sum(by_member) == seen.messages
    assert min(by_member) > 100


def test_redis(redis, redis_load, recording, shown):
    server = redis("127.0.0.1", free_port())
    session = recording("locality", "-p", server.pid, "-d", 60, "--json")
    with redis_load("127.0.0.1", server.port):
        time.sleep(1)
        seen = shown(session.stop().json(), 0)
    assert seen.document["groups"] == []
    assert {(row["process"], row["tid"]) for row in seen.document["messages"]} == {("redis-server", server.pid)}
    assert seen.messages > 1000
    # Over loopback the load decides on which CPU it is received.
    assert seen.verdict["kind"] in ("inconclusive", "perfect")
    if seen.verdict["kind"] == "inconclusive":
        assert "the clients run on this host" in seen.verdict["sentence"]
