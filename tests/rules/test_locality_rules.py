"""Locality: order, steering and pinning of listeners, remote messages, transmit queues."""

import pytest

from netprobe.render.record import headline
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass, Severity
from netprobe.rules.tx_queue_elsewhere import packets_elsewhere


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


# ---- reuseport-order ----


def wrong_order(world):
    world.members = [("reactor-1", "1", -1), ("reactor-0", "0", -1)]
    return world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)


def test_listeners_in_the_wrong_order(world):
    assert wrong_order(world).codes() == ["reuseport-order"]
    found = world.finding("reuseport-order")
    assert "2 of 2 listeners of 10.0.0.1:8080" in found.summary
    assert "index 0 receives packets of CPU 0, but reactor-1 runs on CPU 1" in text(found)
    assert "100.0 % of 400000 messages" in text(found)
    assert "pin reactor-1 to CPU 0, reactor-0 to CPU 1" in found.fix
    # 400,000 messages at 1 µs of 1,400 samples at 99 Hz.
    assert found.cost_pct == pytest.approx(100 * 0.4 / (1400 / 99), rel=0.01)
    assert found.severity is Severity.MINOR


def test_wrong_order_without_messages_costs_nothing(world):
    world.members = [("reactor-1", "1", -1), ("reactor-0", "0", -1)]
    world.rows["messages"] = []
    found = world.finding("reuseport-order")
    assert (found.severity, found.cost_pct) == (Severity.NOTE, 0)


def test_incoming_cpu_of_another_thread(world):
    world.steering, world.program = "incoming-cpu", []
    world.members = [("reactor-0", "0", 1), ("reactor-1", "1", 0)]
    found = world.finding("reuseport-order")
    assert "SO_INCOMING_CPU" in found.summary
    assert "set SO_INCOMING_CPU" in found.fix


def test_two_listeners_of_four_in_the_wrong_order(world):
    """The order 0, 2, 1, 3 of the investigation."""
    world.cpus_online = "0-3"
    world.members = [(f"reactor-{cpu}", str(cpu), -1) for cpu in (0, 2, 1, 3)]
    found = world.finding("reuseport-order")
    assert found.summary.startswith("2 of 4 listeners")


def test_two_groups_in_the_wrong_order(world):
    """A server with HTTP and HTTPS has two groups."""
    world.members, world.ports = [("reactor-1", "1", -1), ("reactor-0", "0", -1)], [8080, 8443]
    found = world.finding("reuseport-order")
    assert found.summary.startswith("4 of 4 listeners of 10.0.0.1:8080, 10.0.0.1:8443 are served on another CPU")
    assert found.fix.count("pin reactor-1 to CPU 0, reactor-0 to CPU 1") == 1


def test_many_listeners_are_abridged(world):
    world.cpus_online = "0-15"
    world.members = [(f"reactor-{cpu}", str(cpu), -1) for cpu in reversed(range(16))]
    found = world.finding("reuseport-order")
    assert "and 8 more listeners" in text(found)
    assert "and 8 more threads" in found.fix


# ---- reuseport-unsteered ----


def unsteered(world):
    world.steering = "none"
    return world.remote("reactor-0", 0, 100_000).remote("reactor-1", 1, 100_000)


def test_a_group_without_steering(world):
    assert unsteered(world).codes() == ["reuseport-unsteered"]
    found = world.finding("reuseport-unsteered")
    assert "50.0 % of 400000 messages" in text(found)
    assert "SO_ATTACH_REUSEPORT_CBPF" in found.fix


def test_a_local_group_without_steering_passes(world):
    world.steering = "none"
    assert isinstance(world.result("reuseport-unsteered"), Pass)
    world.remote("reactor-0", 0, 3_000)  # 99.25 % of all are local
    assert isinstance(world.result("reuseport-unsteered"), Pass)
    world.remote("reactor-0", 0, 5_000)  # 98.75 %
    world.finding("reuseport-unsteered")


def test_one_listener_needs_no_steering(world):
    unsteered(world).members.pop()
    assert isinstance(world.result("reuseport-unsteered"), Pass)


def test_one_cpu_needs_no_steering(world):
    unsteered(world).cpus_online = "0"
    assert isinstance(world.result("reuseport-unsteered"), Pass)


def test_threads_on_one_cpu_need_no_steering(world):
    unsteered(world).members = [("reactor-0", "0", -1), ("reactor-1", "0", -1)]
    assert isinstance(world.result("reuseport-unsteered"), Pass)


def test_two_listeners_of_one_thread_need_no_steering(world):
    unsteered(world).members = [("reactor-0", "0-1", -1)] * 2
    assert isinstance(world.result("reuseport-unsteered"), Pass)


# ---- listener-thread-unpinned ----


def test_an_unpinned_thread(world):
    world.members[1] = ("reactor-1", "0-1", -1)
    assert world.codes() == ["listener-thread-unpinned"]
    found = world.finding("listener-thread-unpinned")
    assert "reactor-1 of 10.0.0.1:8080 is not pinned" in found.summary
    assert "may run on CPU 0, 1" in text(found)
    assert "to CPU 1" in found.fix
    assert found.severity is Severity.NOTE
    world.remote("reactor-1", 1, 200_000)
    assert world.codes() == ["listener-thread-unpinned"]
    assert world.finding("listener-thread-unpinned").severity is Severity.MINOR


def test_all_threads_are_unpinned(world):
    world.members = [("reactor-0", "0-1", -1), ("reactor-1", "0-1", -1)]
    assert "reactor-0 and reactor-1" in world.finding("listener-thread-unpinned").summary


def test_unpinned_next_to_pinned_threads_without_known_steering(world):
    """With eBPF or without steering, pinned threads of the group show the intention."""
    for steering in ("ebpf", "none"):
        world.steering, world.program = steering, []
        world.members = [("reactor-0", "0", -1), ("reactor-1", "0-1", -1)]
        world.finding("listener-thread-unpinned")
        world.members = [("reactor-0", "0-1", -1), ("reactor-1", "0-1", -1)]
        assert isinstance(world.result("listener-thread-unpinned"), Pass)


def test_two_faults_are_two_findings(world):
    """The wrong order, and an unpinned thread."""
    world.members = [("reactor-1", "0-1", -1), ("reactor-0", "0", -1)]
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    assert sorted(world.codes()) == ["listener-thread-unpinned", "reuseport-order"]


# ---- locality-broken ----


def test_ebpf_that_steers_wrongly(world):
    world.steering, world.program = "ebpf", []
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    assert world.codes() == ["locality-broken"]
    found = world.finding("locality-broken")
    assert found.summary.startswith("100.0 % of the messages")
    assert "200000 messages were received on CPU 1 and read on CPU 0" in text(found)


@pytest.mark.parametrize(("remote", "broken"), [(39_000, False), (41_000, True)])
def test_remote_messages_are_reported_from_a_tenth(world, remote, broken):
    world.steering, world.program = "ebpf", []
    world.remote("reactor-0", 0, remote)
    assert (world.codes() == ["locality-broken"]) is broken


def test_packets_of_a_device_on_another_cpu(polling):
    polling.settings["net.core.busy_poll"] = 0
    polling.sets, polling.rows["busy_polls"], polling.napis = [], [], []
    polling.remote("reactor-0", 0, 200_000).napi(801, 200_000)
    assert polling.codes() == ["locality-broken"]


def test_remote_messages_over_loopback_pass(world):
    world.members = []
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    result = world.result("locality-broken")
    assert isinstance(result, Pass)
    assert "this host" in result.reason


@pytest.mark.parametrize("counted", [True, False])
def test_closed_connections_of_clients_on_this_host(world, counted):
    """A load generator closes its connections before the recording stops; its messages show its host."""
    world.members, world.connections, world.sets = [], [], []
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    world.same_host = 1.0 if counted else None
    world.peers = [(77, "load", "client", 8080, 16, True)]
    result = world.result("locality-broken")
    assert isinstance(result, Pass if counted else Inconclusive)
    assert ("this host" in result.reason) if counted else ("no connection was left" in result.reason)


@pytest.mark.parametrize(("share", "broken"), [(0.0, True), (0.4, True), (0.6, False)])
def test_the_share_of_messages_from_this_host_decides(world, share, broken):
    world.members = []
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000).same_host = share
    assert isinstance(world.result("locality-broken"), Finding) is broken


def test_an_unknown_origin_of_connections_is_inconclusive(world):
    world.members = []
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    world.without = {"polling_connections"}
    result = world.result("locality-broken")
    assert isinstance(result, Inconclusive)
    assert "busypoll" in result.reason


def test_consequences_of_other_findings_pass(world, polling):
    assert "reuseport-order explains" in wrong_order(world).result("locality-broken").reason
    polling.drop("syscalls", syscall="epoll_pwait").rows["busy_polls"] = []
    polling.call("reactor-0", "epoll_pwait", 900_000, zero=900_000).remote("reactor-0", 0, 200_000)
    assert polling.result("locality-broken").reason == "epoll-zero-timeout explains it"


def test_few_messages_are_inconclusive(world):
    world.rows["messages"] = []
    world.message("reactor-0", 1, 0, 99)
    result = world.result("locality-broken")
    assert isinstance(result, Inconclusive)
    assert "only 99" in result.reason


# ---- tx-queue-elsewhere ----


def sent(world, *cells, queues=2):
    for cpu, queue, packets in cells:
        world.add("sent_packets", f"reactor-{cpu}", "eth0", queues, queue, cpu, packets)
    return world


def test_one_queue_per_cpu_passes(world):
    assert sent(world, (0, 0, 90_000), (1, 1, 80_000)).codes() == []
    assert isinstance(world.result("tx-queue-elsewhere"), Pass)


def test_the_number_of_a_queue_does_not_matter(world):
    assert sent(world, (0, 1, 90_000), (1, 0, 80_000)).codes() == []


def test_packets_distributed_over_queues(world):
    assert sent(world, (0, 0, 50_000), (0, 1, 40_000)).codes() == ["tx-queue-elsewhere"]
    found = world.finding("tx-queue-elsewhere")
    assert "44 % of the packets that leave by eth0" in found.summary
    assert "CPU 0 sent 90000 packets: 56 % to queue 0, 44 % to queue 1" in text(found)
    assert "echo 1 > /sys/class/net/eth0/queues/tx-0/xps_cpus; echo 2 > " in found.fix


def test_all_packets_in_one_queue(world):
    found = sent(world, (0, 0, 90_000), (1, 0, 80_000)).finding("tx-queue-elsewhere")
    assert found.evidence[0].value == pytest.approx(100 * 80 / 170)


@pytest.mark.parametrize(("other", "found"), [(4_700, False), (5_300, True)])
def test_queues_are_reported_from_a_twentieth_of_the_packets(world, other, found):
    sent(world, (0, 0, 100_000 - other), (0, 1, other))
    assert ("tx-queue-elsewhere" in world.codes()) is found


def test_few_packets_pass(world):
    assert sent(world, (0, 0, 900), (0, 1, 900)).codes() == []


@pytest.mark.parametrize(
    ("cells", "queues", "cpus", "expected"),
    [
        ({(0, 0): 9, (1, 0): 8, (2, 1): 7, (3, 1): 6}, 2, 4, 0),
        ({(0, 0): 9, (1, 0): 8, (2, 0): 7, (3, 1): 6}, 2, 4, 7),
        ({(0, 0): 9, (1, 1): 8}, 8, 2, 0),
        ({(0, 3): 9, (1, 3): 8}, 8, 2, 8),
        ({}, 2, 2, 0),
    ],
)
def test_fewer_queues_than_cpus_are_shared(cells, queues, cpus, expected):
    from collections import Counter

    from netprobe.analysis.locality import TxMatrix

    assert packets_elsewhere(TxMatrix("eth0", queues, Counter(cells)), cpus) == expected


def test_a_device_name_is_quoted(world):
    world.add("sent_packets", "reactor-0", "a;reboot", 2, 0, 0, 5_000)
    world.add("sent_packets", "reactor-0", "a;reboot", 2, 1, 0, 5_000)
    assert "'a;reboot'" in world.finding("tx-queue-elsewhere").fix


@pytest.mark.parametrize("pinned", [True, False])
def test_a_client_on_this_host_that_is_not_pinned_shows_no_locality(world, pinned):
    """Over loopback the sender's CPU receives: without a pinned client, the scheduler decides, not the server."""
    world.steering, world.same_host = "none", 1.0
    world.peers = [(77, "load", "client", 8080, 16, pinned)]
    world.remote("reactor-0", 0, 200_000).remote("reactor-1", 1, 200_000)
    found = world.result("reuseport-unsteered")
    assert isinstance(found, Finding if pinned else Inconclusive)
    if not pinned:
        assert "pin the client" in found.reason
        assert "pin the client" in world.result("locality-broken").reason
        assert all("Locality is broken" not in line for line in headline(context_of(world.run())))
