"""Busy polling: each prerequisite not met, with one finding for each."""

import pytest

from netprobe.rules.finding import Inconclusive, Pass, Severity


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


def waits(world, count, thread="reactor-0", **timeouts):
    """Replace the waits of a thread."""
    for table in ("syscalls", "syscall_timeouts"):
        world.rows[table] = [row for row in world.rows[table] if (row[4], row[5]) != (thread, "epoll_pwait")]
    return world.call(thread, "epoll_pwait", count, **timeouts)


def without_polls(world, softirq=200_000):
    world.rows["busy_polls"], world.softirq = [], [(801, False, softirq, softirq)]
    return world


# ---- epoll-zero-timeout ----


def test_all_waits_have_a_zero_timeout(polling):
    waits(without_polls(polling), 2_000_000, zero=2_000_000)
    polling.sample("reactor-0", "epoll_pwait;k:do_syscall_64;k:__x64_sys_epoll_pwait;k:ep_poll", 350)
    polling.sample("reactor-0", "epoll_pwait;k:do_syscall_64;k:__x64_sys_epoll_pwait;k:fput", 350)
    assert polling.codes() == ["epoll-zero-timeout"]
    found = polling.finding("epoll-zero-timeout")
    assert found.summary.startswith("All calls of epoll_pwait")
    assert "2000000 of 2000000 waits have a zero timeout, 200000 per second" in text(found)
    assert "10.0 waits per message" in text(found)
    assert "epoll_pwait2" in found.fix
    # Half of the samples, nine tenths of them without an event; 200,000 packets at 1 µs.
    seconds = 1400 / 99
    assert found.cost_pct == pytest.approx(50 * 0.9 + 100 * 0.2 / seconds, rel=0.01)


def test_the_cost_without_busy_polling_is_that_of_empty_waits(world):
    for thread in ("reactor-0", "reactor-1"):
        waits(world, 200_000, thread, zero=200_000)
    found = world.finding("epoll-zero-timeout")
    assert (found.cost_pct, found.severity) == (0, Severity.NOTE)


@pytest.mark.parametrize(("zero", "found"), [(49_000, False), (51_000, True)])
def test_zero_timeouts_are_reported_from_half_of_the_waits(polling, zero, found):
    polling.drop("syscall_timeouts", syscall="epoll_pwait")
    waits(polling, 100_000, zero=zero, positive=100_000 - zero)
    assert ("epoll-zero-timeout" in polling.codes()) is found


@pytest.mark.parametrize(("zero", "found"), [(97_000, False), (99_900, True)])
def test_a_loop_that_blocks_when_it_is_idle_passes(world, zero, found):
    """Without busy polling and at no cost, zero timeouts beside blocking waits are how such loops look for more."""
    world.drop("syscall_timeouts", syscall="epoll_pwait")
    waits(world, 100_000, zero=zero, infinite=100_000 - zero)
    assert ("epoll-zero-timeout" in world.codes()) is found


def test_few_zero_timeouts_pass(world):
    world.drop("syscall_timeouts", syscall="epoll_pwait")
    waits(world, 900, zero=900)
    assert isinstance(world.result("epoll-zero-timeout"), Pass)


def test_zero_timeouts_of_poll_pass(world):
    world.call("reactor-0", "poll", 500_000, zero=500_000)
    assert isinstance(world.result("epoll-zero-timeout"), Pass)


def test_timeouts_without_system_calls_are_inconclusive(world):
    world.without = {"syscalls"}
    result = world.result("epoll-zero-timeout")
    assert isinstance(result, Inconclusive)
    assert "probe syscalls" in result.reason


# ---- busy-poll-disabled ----


def test_so_busy_poll_of_an_epoll_server(polling):
    without_polls(polling).settings["net.core.busy_poll"] = 0
    polling.sets, polling.connections = [], []
    polling.connect(801, 16, us=50).epoll_set(5, {801: 16})
    assert polling.codes() == ["busy-poll-disabled"]
    found = polling.finding("busy-poll-disabled")
    assert "is requested" in found.summary
    assert "connections with SO_BUSY_POLL: 16 of 16" in text(found)
    assert "EPIOCSPARAMS" in found.fix


def test_deferred_interrupts_without_a_poller(polling):
    """Deferred interrupts of the device request a poller."""
    without_polls(polling).settings["net.core.busy_poll"] = 0
    polling.sets = []
    polling.epoll_set(5, {801: 16})
    assert polling.codes() == ["busy-poll-disabled"]


def plain(polling, sleeps):
    """A device that supports busy polling, which is not requested."""
    without_polls(polling).settings["net.core.busy_poll"] = 0
    polling.sets, polling.napis, polling.rows["switches"] = [], [(801, 0, 0, 0, "eth0")], []
    return polling.epoll_set(5, {801: 16}).switch("reactor-0", sleeps)


def test_polling_that_is_not_requested_with_little_gain_passes(polling):
    # 130,000 sleeps at 2.5 µs are 4.6 % of 7.1 s.
    assert plain(polling, 130_000).codes() == []


def test_polling_that_is_not_requested_with_much_gain(polling):
    assert plain(polling, 150_000).codes() == ["busy-poll-disabled"]
    found = polling.finding("busy-poll-disabled")
    assert "disabled" in found.summary
    assert "15000 times per second" in text(found)
    assert found.cost_pct == pytest.approx(100 * 150_000 * 2.5e-6 / (700 / 99), rel=0.01)


def test_a_cpu_that_other_tasks_use_passes(polling):
    plain(polling, 0).switch("reactor-0", 500_000, by="batch")
    assert polling.codes() == []


def test_loopback_connections_pass(world):
    world.switch("reactor-0", 500_000)
    result = world.result("busy-poll-disabled")
    assert isinstance(result, Pass)
    assert "no device" in result.reason


def test_an_unreadable_setting_is_inconclusive(polling):
    without_polls(plain(polling, 150_000)).settings |= {"net.core.busy_poll": None, "net.core.busy_read": None}
    assert isinstance(polling.result("busy-poll-disabled"), Inconclusive)


# ---- busy-poll-no-napi ----


def test_parameters_with_loopback_connections(world):
    world.sets = []
    world.epoll_set(5, {0: 8}, us=200, prefer=True)
    assert world.codes() == ["busy-poll-no-napi"]
    found = world.finding("busy-poll-no-napi")
    assert "none of its 16 connections" in found.summary
    assert "Loopback" not in found.summary
    assert "loopback" in found.fix


def test_the_setting_of_the_machine_alone_passes(world):
    world.settings["net.core.busy_poll"] = 50
    assert world.codes() == []


def test_parameters_without_connections_are_inconclusive(world):
    world.sets, world.connections = [], []
    world.epoll_set(5, {-1: 0}, us=200)
    assert isinstance(world.result("busy-poll-no-napi"), Inconclusive)


# ---- busy-poll-mixed-napi ----


def mixed(polling, first=8, second=8):
    polling.sets, polling.connections = [], []
    polling.connect(801, first).connect(802, second)
    return polling.epoll_set(5, {801: first, 802: second}, us=200, prefer=True).napi(802, 90_000, 1, 2, 200_000)


def test_two_queues_in_one_epoll_set(polling):
    assert mixed(polling).codes() == ["busy-poll-mixed-napi"]
    found = polling.finding("busy-poll-mixed-napi")
    assert "8 of eth0 queue 0, 8 of eth0 queue 1" in text(found)


def test_a_stray_connection_passes(polling):
    assert mixed(polling, 19, 1).codes() == []
    mixed(polling, 17, 3)
    assert polling.codes() == ["busy-poll-mixed-napi"]


def test_mixed_queues_explain_the_softirq(polling):
    mixed(polling).softirq = [(801, False, 300_000, 300_000), (802, False, 300_000, 300_000)]
    assert polling.codes() == ["busy-poll-mixed-napi"]


def test_mixed_queues_without_polling_pass(polling):
    mixed(without_polls(polling)).settings["net.core.busy_poll"] = 0
    polling.sets, polling.napis = [], [(801, 0, 0, 0, "eth0"), (802, 1, 0, 0, "eth0")]
    polling.epoll_set(5, {801: 8, 802: 8})
    assert polling.codes() == []


# ---- busy-poll-softirq-first ----


def test_the_softirq_processes_most_packets(polling):
    polling.rows["busy_polls"], polling.softirq, polling.napis = [], [], []
    polling.polls("reactor-0", 801, 600_000, 10_000).napi(801, softirq=190_000)
    assert polling.codes() == ["busy-poll-softirq-first"]
    found = polling.finding("busy-poll-softirq-first")
    assert "95 % of the packets" in found.summary
    assert "echo 2 > /sys/class/net/eth0/napi_defer_hard_irqs" in found.fix
    assert "60000 attempts per second, of which 1.7 %" in text(found)


@pytest.mark.parametrize(("softirq", "found"), [(190_000, False), (210_000, True)])
def test_the_softirq_is_reported_from_half_of_the_packets(polling, softirq, found):
    polling.softirq, polling.napis = [], []
    polling.napi(801, softirq)
    assert (polling.codes() == ["busy-poll-softirq-first"]) is found


def test_a_ticking_thread_explains_the_softirq(polling):
    polling.softirq = [(801, False, 400_000, 400_000)]
    assert polling.codes() == ["busy-poll-softirq-first"]
    polling.call("timer-0", "read", 20_000).switch("timer-0", 20_000)
    assert polling.codes() == ["timer-thread-switching"]


def test_a_long_loop_iteration_explains_the_softirq(polling):
    polling.softirq = [(801, False, 400_000, 400_000)]
    polling.sample("reactor-0", "handle;parse", 1_400).remote("reactor-0", 0, 100_000)
    assert polling.codes() == ["hot-frame"]


def test_a_stray_poll_of_another_instance_passes(polling):
    """A softirq of the client's instance in the context of the thread is neither a poll nor part of the share."""
    polling.napis.append((900, 0, 2, 200_000, "veth-client"))
    polling.softirq.append((900, False, 500_000, 500_000))
    polling.add("busy_polls", "reactor-0", 900, 64, 3, 1, 1, 3, 0, 0)
    assert polling.codes() == []
