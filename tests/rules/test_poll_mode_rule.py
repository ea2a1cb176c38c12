"""poll-mode: threads that poll from user space, and the upper limit of the time in empty polls."""

from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Pass
from netprobe.rules.registry import evaluate


def poller(world, thread="rte-worker-1"):
    """A DPDK worker that receives most of the time and is switched involuntarily only."""
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
    return " | ".join(fact.text for fact in finding.evidence)


def test_a_thread_that_polls(world):
    found = poller(world).finding("poll-mode")
    assert found.summary.startswith("rte-worker-1 polls from user space")
    assert "100 % of 1000 samples in user mode, 0 system calls, 0 waits, preempted 5 times per second" in text(found)


def test_the_upper_limit_of_empty_polls(world):
    """Receiving takes 60 % and the loop around it 10 %; the rest is work on received packets."""
    found = poller(world).finding("poll-mode")
    assert "70 % of the time is spent on receiving, 20 % on work and 10 % on sending" in text(found)
    assert "empty polls take 70 % at most" in text(found)


def test_the_dominating_function(world):
    """As in the investigation: a transmit function of a driver with more than half of the time."""
    poller(world).sample("rte-worker-1", "eal_thread_loop;run_fwd;rte_eth_tx_burst;eth_ena_xmit_pkts", 1_000)
    assert "the largest self time is in eth_ena_xmit_pkts (/usr/bin/web), 55 %" in text(world.finding("poll-mode"))
    assert world.finding("hot-frame").summary.startswith("eth_ena_xmit_pkts (/usr/bin/web) takes 55 %")


def test_unsymbolized_drivers(world):
    poller(world)
    world.stacks.clear()
    world.sample("rte-worker-1", "u:/usr/lib/librte_net_ena.so.23", 500)
    assert "share of empty polls not known: 500 of 500 samples" in text(world.finding("poll-mode"))


def test_no_rule_is_inconclusive(world):
    results = evaluate(RunContext(poller(world).run()))
    assert {one.code for one in results if isinstance(one, Finding)} == {"poll-mode", "hot-frame"}
    others = [one for one in results if not isinstance(one, Finding)]
    assert all(isinstance(one, Pass) for one in others), others


def test_a_poller_that_is_preempted(world):
    """A poller that ran for 6 of 10 s, with 1,000 involuntary switches."""
    poller(world).stacks.clear()
    world.sample("rte-worker-1", "eal_thread_loop;run_fwd;rte_eth_rx_burst", 600).switch(
        "rte-worker-1", 0, 1_000, by="batch-job", cpu=1
    )
    assert "batch-job takes CPU 1, 0 from rte-worker-1" in text(world.finding("reactor-preempted"))


def test_a_computing_thread_passes(world):
    """The same behavior without signs of a framework is computing."""
    poller(world)
    world.stacks.clear()
    world.threads.clear()
    world.sample("worker", "solve;multiply", 1_000)
    assert isinstance(world.result("poll-mode"), Pass)
    assert RunContext(world.run()).pollers == []


def test_a_thread_that_waits_or_calls_passes(world):
    """50 waits per second, or 50 calls per second, or one receive."""
    for spoil in (
        lambda: world.switch("rte-worker-1", 500),
        lambda: world.call("rte-worker-1", "clock_gettime", 500),
        lambda: world.call("rte-worker-1", "recvfrom", 1),
    ):
        poller(world)
        spoil()
        assert isinstance(world.result("poll-mode"), Pass)


def test_a_server_on_kernel_sockets_passes(world):
    assert isinstance(world.result("poll-mode"), Pass)


def test_no_samples_are_inconclusive(world):
    world.without = {"profile_info"}
    assert "needs the probe stacks" in world.result("poll-mode").reason
