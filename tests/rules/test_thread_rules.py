"""Threads that tick, and threads that preempt the serving threads."""

import pytest

from netprobe.rules.finding import Inconclusive, Pass, Severity


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


# ---- timer-thread-switching ----


def ticks(world, name, count, calls=None, **names):
    world.call(name, "read", count if calls is None else calls)
    return world.switch(name, count)


def test_two_timer_threads(world):
    for number in (0, 1):
        ticks(world, f"timer-{number}", 20_000)
        world.switch(f"reactor-{number}", 0, 15_000, by=f"timer-{number}", cpu=number)
    assert world.codes() == ["timer-thread-switching"]
    found = world.finding("timer-thread-switching")
    assert "timer-N only tick, 2000 times per second each" in found.summary
    assert "timer-N (2 threads) switches 4000 times per second" in text(found)
    assert "it preempts serving threads 3000 times per second" in text(found)
    assert "10 ms instead of 0.5 ms" in found.fix
    # 70,000 switches at 2.5 µs, of 1,400 samples at 99 Hz.
    assert found.cost_pct == pytest.approx(100 * 70_000 * 2.5e-6 / (1400 / 99), rel=0.01)


@pytest.mark.parametrize(("count", "found"), [(4_900, False), (5_100, True)])
def test_ticks_are_reported_from_500_per_second(world, count, found):
    assert ("timer-thread-switching" in ticks(world, "timer-0", count).codes()) is found


def test_a_steady_rate_without_a_timer_name(world):
    ticks(world, "worker", 20_000)
    assert world.codes() == ["timer-thread-switching"]


def test_a_worker_with_a_varying_rate_passes(world):
    """Reads of an eventfd follow the load."""
    world.call("worker", "read", 20_000)
    for interval in range(20):
        world.rows["switches"].append((interval, *world.thread("worker"), 500 + 100 * interval, 0))
    assert world.codes() == []


def test_sleeping_calls_without_a_timer_name(world):
    world.call("worker", "clock_nanosleep", 20_000)
    for interval in range(20):
        world.rows["switches"].append((interval, *world.thread("worker"), 500 + 100 * interval, 0))
    assert world.codes() == ["timer-thread-switching"]


def test_waits_on_a_futex_pass(world):
    world.call("timer-0", "futex", 20_000).switch("timer-0", 20_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


def test_many_calls_per_wake_up_pass(world):
    ticks(world, "timer-0", 20_000, calls=90_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


def test_a_thread_that_reads_messages_passes(world):
    world.call("timer-0", "read", 20_000).switch("timer-0", 20_000).message("timer-0", 0, 0, 20_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


# ---- reactor-preempted ----


def preempted(world, by, forced=1_000, voluntary=1_000):
    """700 samples of 990: the thread does not run for 29 % of the time."""
    world.rows["switches"] = [row for row in world.rows["switches"] if row[4] != "reactor-0"]
    world.rows["next_tasks"] = [row for row in world.rows["next_tasks"] if row[4] != "reactor-0"]
    return world.switch("reactor-0", voluntary).switch("reactor-0", 0, forced, by=by)


def test_a_competitor_for_the_cpu(world):
    assert preempted(world, "backup").codes() == ["reactor-preempted"]
    found = world.finding("reactor-preempted")
    assert found.summary.startswith("backup takes the CPU from reactor-0, for about 15 % of the time")
    assert "backup takes CPU 0 from reactor-0" in text(found)
    assert "100 times per second" in text(found)
    assert "taskset" in found.fix
    # Half of 29 %, of one of two threads.
    assert found.cost_pct == pytest.approx(0.25 * 100 * (1 - 700 / 990), rel=0.01)
    assert found.severity is Severity.MAJOR


@pytest.mark.parametrize("name", ["wrk", "backup", "Изба"])
def test_a_client_is_known_by_its_connections(world, name):
    world.peers = [(77, name, "client", 8080, 16, False)]
    result = preempted(world, name).result("reactor-preempted")
    assert isinstance(result, Pass)
    assert f"the client {name} runs on them as well" in result.reason


def test_a_backend_is_a_competitor(world):
    world.peers = [(77, "backup", "backend", 5432, 16, False)]
    assert preempted(world, "backup").codes() == ["reactor-preempted"]


def test_clients_on_this_host_without_their_processes_are_inconclusive(world):
    world.same_host = 1.0
    result = preempted(world, "wrk").result("reactor-preempted")
    assert isinstance(result, Inconclusive)
    assert "the clients run on this host" in result.reason


@pytest.mark.parametrize(("waits_s", "found"), [(0.09, False), (0.25, False), (0.35, True)])
def test_the_loss_is_the_measured_run_delay(world, waits_s, found):
    """All switches to a task go to the competitor: 0.35 s of 10 s are 3.5 %."""
    world.budgets = {"reactor-0": (7.0, waits_s), "reactor-1": (7.0, 0.0)}
    world.others = {"backup": 5.0}
    assert (preempted(world, "backup").codes() == ["reactor-preempted"]) is found


@pytest.mark.parametrize(("runs_s", "found"), [(0.2, False), (0.4, True)])
def test_a_competitor_takes_no_more_than_its_own_cpu_time(world, runs_s, found):
    world.budgets = {"reactor-0": (2.0, 7.0), "reactor-1": (7.0, 0.0)}
    world.others = {"backup": runs_s}
    assert (preempted(world, "backup").codes() == ["reactor-preempted"]) is found
    if found:
        assert "for about 4 % of the time" in world.finding("reactor-preempted").summary


def test_a_thread_of_the_server_is_not_isolated(world):
    world.call("logger", "write", 1_000).switch("logger", 1_000)
    found = preempted(world, "logger").finding("reactor-preempted")
    assert "a thread of the server itself" in found.fix
    assert "isolcpus=0" not in found.fix


@pytest.mark.parametrize("name", ["netprobe"])
def test_netprobe_is_no_competitor(world, name):
    assert preempted(world, name).codes() == []


@pytest.mark.parametrize(("forced", "found"), [(110, False), (125, True)])
def test_preemption_is_reported_from_three_percent(world, forced, found):
    """The lost time is a share of the 29 % off CPU, by forced switches."""
    assert (preempted(world, "backup", forced * 2, 2_000).codes() == ["reactor-preempted"]) is found


@pytest.mark.parametrize("name", ["rcu_preempt", "ksoftirqd/0", "kworker/N"])
def test_kernel_threads_have_short_time_slices(world, name):
    """With 0.1 ms per switch, 300 switches per second are 3 %."""
    assert preempted(world, name, 2_900).codes() == []
    assert preempted(world, name, 3_100).codes() == ["reactor-preempted"]


def test_few_preemptions_pass(world):
    assert preempted(world, "backup", 190, 100).codes() == []


def test_a_ticking_competitor_is_another_finding(world):
    preempted(world, "timer-0", 20_000).call("timer-0", "read", 20_000).switch("timer-0", 20_000)
    assert world.codes() == ["timer-thread-switching"]


def test_two_serving_threads_on_one_cpu(world):
    """Both are pinned to the same CPU."""
    world.steering, world.members = "none", [("reactor-0", "0", -1), ("reactor-1", "0", -1)]
    found = preempted(world, "reactor-1").finding("reactor-preempted")
    assert found.summary.startswith("reactor-1 takes")


def test_an_unpinned_competitor_is_another_finding(world):
    world.members[1] = ("reactor-1", "0-1", -1)
    assert preempted(world, "reactor-1").codes() == ["listener-thread-unpinned"]


def test_the_lost_time_without_samples(world):
    world.without = {"profile_info"}
    assert "reactor-preempted" not in preempted(world, "backup").codes()
    # 20,000 per second at 2.5 µs are 5 % of its time.
    assert "reactor-preempted" in preempted(world, "backup", 200_000).codes()


def test_few_preemptions_without_samples_are_inconclusive(world):
    """100 times per second may be between 0 and 40 % of the time."""
    world.without = {"profile_info"}
    result = preempted(world, "backup").result("reactor-preempted")
    assert isinstance(result, Inconclusive)
    assert "backup takes the CPU from reactor-0 100 times per second" in result.reason


def test_few_samples_of_a_preempted_server(world):
    world.stacks.clear()
    found = preempted(world.sample("reactor-0", "handle", 9), "backup", 1_000, 0).finding("reactor-preempted")
    # At most 4 ms per switch.
    assert "about 40 % of its time" in text(found)


def test_the_lost_time_from_run_queue_latency(world):
    """With a competitor of higher priority the thread sleeps, wakes up, and waits."""
    preempted(world, "backup", 10, 990).rows["next_tasks"].clear()
    world.add("next_tasks", "reactor-0", 0, "backup", False, 900, 10)
    world.add("next_tasks", "reactor-0", 0, "wrk", False, 90, 0)
    assert world.codes() == []
    world.run_queue = {"reactor-0": 5_000_000_000}
    # Half of the time, less the share of wrk.
    assert "about 46 % of its time" in text(world.finding("reactor-preempted"))
    world.run_queue = {"reactor-0": 200_000_000}
    assert world.codes() == []


def test_no_serving_thread_is_inconclusive(world):
    world.rows["messages"] = []
    assert isinstance(world.result("reactor-preempted"), Inconclusive)
