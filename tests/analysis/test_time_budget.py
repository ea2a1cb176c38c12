"""Time budgets by thread and role, and the state that they show, from tables with known times."""

import pytest

from netprobe.analysis.saturation import saturation
from netprobe.analysis.time_budget import NO_MESSAGES, SHORT_LIVED, time_budgets
from netprobe.run.table import table_of_rows

SECOND = 1_000_000_000
CPUS = 2


class Tables:
    """Threads of a process that all live for ten seconds."""

    def __init__(self):
        self.times, self.objects, self.modes, self.wakers, self.messages = [], [], [], [], []
        self.threads, self.idle_s, self.client_s = [], 10.0, 0.0

    def thread(self, tid, name, running_s=0.0, runnable_s=0.0, alive_s=10.0, **sleeps):
        """`sleeps`: seconds by system call; the rest is slept in epoll_wait."""
        who = (0, 1, tid, "web", name)
        states = {"alive": alive_s, "running": running_s, "runnable": runnable_s}
        for state, seconds in states.items():
            self.times.append((*who, state, "", int(seconds * SECOND), 0, 0, 0, 0, 0, 0, 0))
        sleeps.setdefault("epoll_wait", alive_s - running_s - runnable_s - sum(sleeps.values()))
        for call, seconds in sleeps.items():
            self.times.append((*who, "asleep", call, int(seconds * SECOND), 10, 0, 0, 2, 0, 8, 0))
        self.threads.append((1, tid, "web", name, "0-1", -1.0, float("nan")))
        return self

    def on(self, tid, name, call, kind, address, port, seconds):
        self.objects.append((0, 1, tid, "web", name, call, kind, address, port, 10, int(seconds * SECOND)))
        return self

    def handles(self, tid, name, messages, same_host=0):
        self.messages.append((0, 1, tid, "web", name, 0, 0, messages, messages, same_host))
        return self

    def made(self):
        return {
            table.name: table
            for table in (
                table_of_rows("thread_time", self.times),
                table_of_rows("sleep_objects", self.objects),
                table_of_rows("sample_modes", self.modes),
                table_of_rows("wakers", self.wakers),
                table_of_rows("messages", self.messages),
                table_of_rows("threads", self.threads),
                table_of_rows("peers", [(77, "load", "client", 8080, 8, False)]),
                table_of_rows("other_tasks", [(77, 78, "load", "load", int(self.client_s * SECOND))]),
                table_of_rows("intervals", [(0, 0.0, 10.0, 0, 0, int(self.idle_s * SECOND), 0)]),
            )
        }

    def state(self):
        return saturation(self.made(), 10.0, CPUS)


@pytest.fixture
def tables():
    return Tables()


def test_roles_add_up_their_threads(tables):
    tables.thread(11, "worker-0", 4.0, 1.0).thread(12, "worker-1", 2.0, 1.0)
    (row,) = time_budgets(tables.made())
    assert (row.thread, len(row.tids)) == ("worker-N", 2)
    assert row.share(row.running_ns) == pytest.approx(30)
    assert row.share(row.runnable_ns) == pytest.approx(10)
    assert row.share(row.asleep_ns) == pytest.approx(60)
    assert row.woken_by == {"network": 16, "hrtimer": 4}


def test_threads_one_by_one(tables):
    tables.thread(11, "worker-0", 4.0).thread(12, "worker-1", 2.0)
    assert [row.thread for row in time_budgets(tables.made(), fold=False)] == ["worker-0", "worker-1"]


def test_a_master_that_handles_no_messages_is_not_a_worker(tables):
    tables.thread(11, "nginx", 4.0).thread(12, "nginx", rt_sigsuspend=10.0).handles(11, "nginx", 1000)
    workers, master = time_budgets(tables.made())
    assert (workers.thread, len(workers.tids)) == ("nginx", 1)
    assert (master.thread, len(master.tids)) == (f"nginx {NO_MESSAGES}", 1)


def test_short_lived_threads_have_one_row(tables):
    for tid in range(11, 20):
        tables.thread(tid, f"conn {tid}", 0.01, alive_s=0.05)
        tables.threads[-1] = (*tables.threads[-1][:5], 1.0, 1.05)
    (row,) = time_budgets(tables.made())
    assert (row.thread, len(row.tids)) == (SHORT_LIVED, 9)


@pytest.mark.parametrize(
    ("call", "kind", "category"),
    [
        ("read", "accepted", "receive"),
        ("read", "pipe", "pipe"),
        ("read", "file", "file"),
        ("write", "connected", "send"),
        ("recvfrom", "connected", "receive"),
        ("futex", "", "futex"),
        ("fsync", "", "file"),
        ("poll", "", "poll"),
    ],
)
def test_categories_of_sleeps(tables, call, kind, category):
    tables.thread(11, "worker", 1.0, **{call: 9.0})
    if kind:
        tables.on(11, "worker", call, kind, "", 0, 9.0)
    (row,) = time_budgets(tables.made())
    assert row.sleeps[call].category == category


def test_saturated_by_run_and_run_delay(tables):
    """One of two threads decides: 70 % on a CPU, 25 % waiting for one."""
    found = tables.thread(11, "worker-0", 7.0, 2.5).thread(12, "worker-1", 1.0).state()
    assert found.state == "saturated"
    assert found.busiest_pct == pytest.approx(95)
    assert found.sentence.startswith(
        "worker-N (2 threads) is saturated: its busiest thread runs or is runnable 95 % of the time"
    )


def test_waiting_names_the_backend(tables):
    tables.thread(11, "worker", 0.5, recvfrom=9.4).on(11, "worker", "recvfrom", "connected", "127.0.0.1", 5432, 9.4)
    found = tables.handles(11, "worker", 500).state()
    assert found.state == "waiting"
    assert found.sentence == "worker is waiting for recvfrom on 127.0.0.1:5432, 94 % of the time."


def test_threads_that_wait_for_their_client_are_not_waiting_for_a_backend(tables):
    tables.thread(11, "worker", 2.0, recvfrom=8.0).on(11, "worker", "recvfrom", "accepted", "", 80, 8.0)
    assert tables.handles(11, "worker", 500).state().state == "not saturated"


def test_idle(tables):
    found = tables.thread(11, "worker", 0.05).state()
    assert found.state == "idle"
    assert found.sentence == "worker is idle: it sleeps 99.5 % of the time in epoll_wait."


@pytest.mark.parametrize(
    ("idle_s", "client_s", "same_host", "state"),
    [
        (0.1, 5.0, 1000, "limited by its client"),
        (0.1, 1.0, 1000, "not saturated"),  # others use the CPUs
        (0.1, 5.0, 0, "not saturated"),
        (5.0, 5.0, 1000, "not saturated"),
        (5.0, 9.0, 1000, "limited by its client"),  # a thread of the client uses a whole CPU
    ],
)
def test_limited_by_its_client(tables, idle_s, client_s, same_host, state):
    tables.idle_s, tables.client_s = idle_s, client_s
    tables.thread(11, "worker", 5.0).handles(11, "worker", 1000, same_host)
    assert tables.state().state == state


def test_the_role_that_handles_the_messages_counts(tables):
    """A busy thread without messages is not the role that serves."""
    tables.thread(11, "worker", 1.0).handles(11, "worker", 1000).thread(12, "compressor", 9.9)
    found = tables.state()
    assert (found.role.thread, found.state) == ("worker", "not saturated")


def test_no_threads(tables):
    assert tables.state() is None
