"""Threads that tick, and threads that take the CPU from those that serve."""

import pytest

from netprobe.rules.finding import Inconclusive, Pass, Severity


def text(finding):
    return " | ".join([finding.summary, *(one.text for one in finding.evidence), finding.fix])


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
def test_five_hundred_a_second(world, count, found):
    assert ("timer-thread-switching" in ticks(world, "timer-0", count).codes()) is found


def test_a_name_that_says_nothing_and_a_steady_pace(world):
    ticks(world, "worker", 20_000)
    assert world.codes() == ["timer-thread-switching"]


def test_a_worker_that_reads_as_work_comes(world):
    """Reads of an eventfd: the pace follows the load."""
    world.call("worker", "read", 20_000)
    for interval in range(20):
        world.rows["switches"].append((interval, *world.thread("worker"), 500 + 100 * interval, 0))
    assert world.codes() == []


def test_sleeps_need_no_name(world):
    world.call("worker", "clock_nanosleep", 20_000)
    for interval in range(20):
        world.rows["switches"].append((interval, *world.thread("worker"), 500 + 100 * interval, 0))
    assert world.codes() == ["timer-thread-switching"]


def test_a_pool_that_waits_for_work(world):
    world.call("timer-0", "futex", 20_000).switch("timer-0", 20_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


def test_a_thread_that_does_much_a_wake_up(world):
    ticks(world, "timer-0", 20_000, calls=90_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


def test_a_thread_that_serves_does_not_tick(world):
    world.call("timer-0", "read", 20_000).switch("timer-0", 20_000).message("timer-0", 0, 0, 20_000)
    assert isinstance(world.result("timer-thread-switching"), Pass)


# ---- reactor-preempted ----


def preempted(world, by, forced=1_000, voluntary=1_000):
    """700 samples of 990: the thread is off its CPU for 29 %."""
    world.rows["switches"] = [row for row in world.rows["switches"] if row[4] != "reactor-0"]
    world.rows["next_tasks"] = [row for row in world.rows["next_tasks"] if row[4] != "reactor-0"]
    return world.switch("reactor-0", voluntary).switch("reactor-0", 0, forced, by=by)


def test_a_competitor(world):
    assert preempted(world, "backup").codes() == ["reactor-preempted"]
    found = world.finding("reactor-preempted")
    assert found.summary.startswith("backup takes the CPU from reactor-0, for about 15 % of the time")
    assert "backup takes CPU 0 from reactor-0" in text(found)
    assert "100 times per second" in text(found)
    assert "taskset" in found.fix
    # Half of 29 %, of one of two threads.
    assert found.cost_pct == pytest.approx(0.25 * 100 * (1 - 700 / 990), rel=0.01)
    assert found.severity is Severity.MAJOR


@pytest.mark.parametrize("name", ["wrk", "twrk", "ab", "h2load", "iperf3", "redis-benchmark"])
def test_a_load_generator_is_part_of_the_measurement(world, name):
    said = preempted(world, name).result("reactor-preempted")
    assert isinstance(said, Pass)
    assert f"the load generator {name} runs on them as well" in said.reason


@pytest.mark.parametrize("name", ["netprobe"])
def test_netprobe_itself(world, name):
    assert preempted(world, name).codes() == []


@pytest.mark.parametrize(("forced", "found"), [(110, False), (125, True)])
def test_three_percent(world, forced, found):
    """Of 29 % off the CPU a share of forced switches."""
    assert (preempted(world, "backup", forced * 2, 2_000).codes() == ["reactor-preempted"]) is found


@pytest.mark.parametrize("name", ["rcu_preempt", "ksoftirqd/0", "kworker/N"])
def test_threads_of_the_kernel_take_little_at_a_time(world, name):
    """0.1 ms: it takes 300 times a second to be 3 %."""
    assert preempted(world, name, 2_900).codes() == []
    assert preempted(world, name, 3_100).codes() == ["reactor-preempted"]


def test_seldom(world):
    assert preempted(world, "backup", 190, 100).codes() == []


def test_a_timer_has_its_own_name(world):
    preempted(world, "timer-0", 20_000).call("timer-0", "read", 20_000).switch("timer-0", 20_000)
    assert world.codes() == ["timer-thread-switching"]


def test_reactors_on_one_cpu(world):
    """Each pinned, both to the same CPU."""
    world.steering, world.members = "none", [("reactor-0", "0", -1), ("reactor-1", "0", -1)]
    found = preempted(world, "reactor-1").finding("reactor-preempted")
    assert found.summary.startswith("reactor-1 takes")


def test_a_reactor_that_is_not_pinned_has_its_own_name(world):
    world.members[1] = ("reactor-1", "0-1", -1)
    assert preempted(world, "reactor-1").codes() == ["listener-thread-unpinned"]


def test_without_samples_only_the_switches_count(world):
    world.without = {"profile_info"}
    assert "reactor-preempted" not in preempted(world, "backup").codes()
    # 20,000 a second at 2.5 µs are 5 % of its time.
    assert "reactor-preempted" in preempted(world, "backup", 200_000).codes()


def test_without_stacks_how_long_is_not_known(world):
    """100 times a second may be anything from nothing to 40 % of the time."""
    world.without = {"profile_info"}
    said = preempted(world, "backup").result("reactor-preempted")
    assert isinstance(said, Inconclusive)
    assert "backup takes the CPU from reactor-0 100 times per second" in said.reason


def test_a_starved_server_has_few_samples(world):
    world.stacks.clear()
    found = preempted(world.sample("reactor-0", "handle", 9), "backup", 1_000, 0).finding("reactor-preempted")
    # At most 4 ms each time.
    assert "about 40 % of its time" in text(found)


def test_the_run_queue_says_what_was_lost(world):
    """A competitor with precedence: the thread sleeps, wakes up, and waits."""
    preempted(world, "backup", 10, 990).rows["next_tasks"].clear()
    world.add("next_tasks", "reactor-0", 0, "backup", False, 900, 10)
    world.add("next_tasks", "reactor-0", 0, "wrk", False, 90, 0)
    assert world.codes() == []
    world.run_queue = {"reactor-0": 5_000_000_000}
    # Half of the time, of which wrk had its part.
    assert "about 46 % of its time" in text(world.finding("reactor-preempted"))
    world.run_queue = {"reactor-0": 200_000_000}
    assert world.codes() == []


def test_nobody_serves(world):
    world.rows["messages"] = []
    assert isinstance(world.result("reactor-preempted"), Inconclusive)
