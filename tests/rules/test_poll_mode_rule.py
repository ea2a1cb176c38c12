"""poll-mode: who polls from user space, and what its stacks say of empty polls."""

from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Pass
from netprobe.rules.registry import evaluate


def poller(world, thread="rte-worker-1"):
    """A DPDK worker that asks for packets most of the time, and never leaves its CPU but by force."""
    world.rows = {name: [] for name in world.rows}
    world.stacks.clear()
    world.members.clear()
    world.connections.clear()
    world.sets.clear()
    world.sample(thread, "eal_thread_loop;run_fwd;rte_eth_rx_burst;ring_rx_burst", 600)
    world.sample(thread, "eal_thread_loop;run_fwd", 100)
    world.sample(thread, "eal_thread_loop;run_fwd;swap_macs", 200)
    world.sample(thread, "eal_thread_loop;run_fwd;rte_eth_tx_burst;eth_ena_xmit_pkts", 100)
    return world.switch(thread, 0, 50, by="kworker/1:1")


def text(finding):
    return " | ".join(one.text for one in finding.evidence)


def test_a_poller(world):
    found = poller(world).finding("poll-mode")
    assert found.summary.startswith("rte-worker-1 polls from user space")
    assert "100 % of 1000 samples in user mode, 0 system calls, 0 waits, preempted 5 times per second" in text(found)


def test_empty_polls(world):
    """Asking is 60 % and the loop around it 10 %; the rest is work on packets that were there."""
    found = poller(world).finding("poll-mode")
    assert "70 % of the time is spent on receiving, 20 % on work and 10 % on sending" in text(found)
    assert "empty polls take 70 % at most" in text(found)


def test_the_frame_that_dominates(world):
    """The investigation's first finding: a driver's transmit function with more than half of the time."""
    poller(world).sample("rte-worker-1", "eal_thread_loop;run_fwd;rte_eth_tx_burst;eth_ena_xmit_pkts", 1_000)
    assert "the largest self time is in eth_ena_xmit_pkts (/usr/bin/web), 55 %" in text(world.finding("poll-mode"))
    assert world.finding("hot-frame").summary.startswith("eth_ena_xmit_pkts (/usr/bin/web) takes 55 %")


def test_without_names(world):
    poller(world)
    world.stacks.clear()
    world.sample("rte-worker-1", "u:/usr/lib/librte_net_ena.so.23", 500)
    assert "share of empty polls not known: 500 of 500 samples" in text(world.finding("poll-mode"))


def test_nothing_is_left_open(world):
    results = evaluate(RunContext(poller(world).run()))
    assert {one.code for one in results if isinstance(one, Finding)} == {"poll-mode", "hot-frame"}
    others = [one for one in results if not isinstance(one, Finding)]
    assert all(isinstance(one, Pass) for one in others), others


def test_a_competitor_of_a_poller(world):
    """A poller that loses its CPU is told of like a server: 6 of 10 s it ran, and 1,000 times it was forced off."""
    poller(world).stacks.clear()
    world.sample("rte-worker-1", "eal_thread_loop;run_fwd;rte_eth_rx_burst", 600).switch(
        "rte-worker-1", 0, 1_000, by="batch-job", cpu=1
    )
    assert "batch-job takes CPU 1, 0 from rte-worker-1" in text(world.finding("reactor-preempted"))


def test_no_framework(world):
    """The same behaviour without a sign of one is computing."""
    poller(world)
    world.stacks.clear()
    world.threads.clear()
    world.sample("worker", "solve;multiply", 1_000)
    assert isinstance(world.result("poll-mode"), Pass)
    assert RunContext(world.run()).pollers == []


def test_a_thread_that_waits_or_calls_is_none(world):
    """50 waits a second, or 50 calls a second, or one receive."""
    for spoil in (
        lambda: world.switch("rte-worker-1", 500),
        lambda: world.call("rte-worker-1", "clock_gettime", 500),
        lambda: world.call("rte-worker-1", "recvfrom", 1),
    ):
        poller(world)
        spoil()
        assert isinstance(world.result("poll-mode"), Pass)


def test_a_server_in_the_kernel_is_none(world):
    assert isinstance(world.result("poll-mode"), Pass)


def test_no_samples(world):
    world.without = {"profile_info"}
    assert "needs the probe stacks" in world.result("poll-mode").reason
