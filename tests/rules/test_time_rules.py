"""Findings from the measured time of threads: what they wait for, how the load is divided, quotas, queues."""

import pytest

from netprobe.rules import registry
from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Inconclusive, Pass, Severity

PID = 4001


@pytest.fixture
def timed(world):
    """Two reactors that run 2 of 10 s each, over loopback."""
    world.budgets = {"reactor-0": (2.0, 0.0), "reactor-1": (2.0, 0.0)}
    return world.balanced("reactor-0").balanced("reactor-1")


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence)])


# ---- waits-for-backend ----


@pytest.mark.parametrize(("seconds", "found"), [(0.1, False), (0.4, True), (6.0, True)])
def test_a_blocking_backend(timed, seconds, found):
    """10 % of the time on requests: 0.23 s beside 2 s of running."""
    for name in ("reactor-0", "reactor-1"):
        timed.asleep[name] = {"recvfrom": seconds}
        timed.sleep_objects.append(
            (0, *timed.thread(name), "recvfrom", "connected", "10.0.0.9", 5432, 1000, int(seconds * 1e9))
        )
    result = timed.result("waits-for-backend")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(100 * seconds / (2 + seconds), rel=0.01)
        assert "10.0.0.9:5432" in result.summary
        assert f"{2 * seconds / 10:.1f} of 2 serving threads wait at a time" in text(result)


def test_a_client_is_no_backend(timed):
    timed.asleep["reactor-0"] = {"recvfrom": 6.0}
    timed.sleep_objects.append((0, *timed.thread("reactor-0"), "recvfrom", "accepted", "", 8080, 1000, 6 * 10**9))
    assert isinstance(timed.result("waits-for-backend"), Pass)


def test_the_name_of_a_backend_on_this_host(timed):
    timed.peers = [(99, "postgres", "backend", 5432, 2, False)]
    timed.asleep["reactor-0"] = {"recvfrom": 6.0}
    timed.sleep_objects.append(
        (0, *timed.thread("reactor-0"), "recvfrom", "connected", "127.0.0.1", 5432, 1000, 6 * 10**9)
    )
    assert "127.0.0.1:5432 (postgres)" in timed.result("waits-for-backend").summary


# ---- storage-wait ----


@pytest.mark.parametrize("call", ["fsync", "pread64", "page fault"])
def test_waits_for_storage(timed, call):
    timed.uninterruptible = {call}
    timed.asleep["reactor-0"] = {call: 4.0}
    result = timed.result("storage-wait")
    assert isinstance(result, Finding)
    assert result.cost_pct == pytest.approx(50, rel=0.01)
    assert f"in {call}, 50 % of the time" in result.summary


def test_a_file_that_is_in_the_page_cache(timed):
    """Interruptible sleeps in calls on files are no waits for a device."""
    timed.asleep["reactor-0"] = {"pread64": 4.0}
    assert isinstance(timed.result("storage-wait"), Pass)


# ---- blocking-in-event-loop ----


def test_an_event_loop_that_sleeps(timed):
    timed.asleep["reactor-0"] = {"clock_nanosleep": 4.0}
    result = timed.result("blocking-in-event-loop")
    assert isinstance(result, Finding)
    assert result.cost_pct == pytest.approx(50, rel=0.01)


def test_a_thread_without_an_event_loop_may_sleep(timed):
    timed.asleep = {name: {"clock_nanosleep": 8.0} for name in ("reactor-0", "reactor-1")}
    timed.drop("syscalls", syscall="epoll_pwait").drop("syscall_timeouts", syscall="epoll_pwait")
    assert isinstance(timed.result("blocking-in-event-loop"), Pass)


# ---- lock-contention ----


@pytest.mark.parametrize(("waker", "found"), [("reactor-1", True), ("dispatcher", False)])
def test_a_contended_lock_is_handed_on_by_its_waiters(timed, waker, found):
    """The threads of an idle pool sleep on one word as well, but another thread wakes them."""
    for name, other in (("reactor-0", waker), ("reactor-1", "reactor-0" if found else waker)):
        timed.asleep[name] = {"futex": 2.0}
        timed.sleep_objects.append((0, *timed.thread(name), "futex", "lock", "0x1000", 0, 5000, 2 * 10**9))
        timed.wakers.append((0, *timed.thread(name), timed.thread(other)[1], other, 5000))
    result = timed.result("lock-contention")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(50, rel=0.01)
        assert "100 % of their wake-ups" in text(result)


def test_locks_of_their_own_are_not_contended(timed):
    for number, name in enumerate(("reactor-0", "reactor-1")):
        timed.asleep[name] = {"futex": 2.0}
        timed.sleep_objects.append((0, *timed.thread(name), "futex", "lock", hex(4096 + number), 0, 5000, 2 * 10**9))
        timed.wakers.append((0, *timed.thread(name), timed.thread("reactor-1")[1], "reactor-1", 5000))
    assert isinstance(timed.result("lock-contention"), Pass)


def test_futex_sleeps_without_locks_are_inconclusive(timed):
    timed.asleep["reactor-0"] = {"futex": 2.0}
    assert isinstance(timed.result("lock-contention"), Inconclusive)


def test_cpu_time_counts_less_beside_a_lock(timed):
    """A function that takes the CPU is a smaller part of the time in which threads mostly wait for a lock."""
    for name in ("reactor-0", "reactor-1"):
        timed.asleep[name] = {"futex": 7.0}
        timed.sleep_objects.append((0, *timed.thread(name), "futex", "lock", "0x1000", 0, 5000, 7 * 10**9))
        timed.wakers.append((0, *timed.thread(name), timed.thread("reactor-0")[1], "reactor-0", 5000))
    timed.sample("reactor-0", "start_thread;serve;checksum", 3000)
    first, second = registry.findings(RunContext(timed.run()))[:2]
    assert (first.code, second.code) == ("lock-contention", "hot-frame")
    assert second.cost_pct < 22.3


# ---- too-few-workers and uneven-load ----


@pytest.mark.parametrize(("idle_s", "cpus", "found"), [(20.0, "0-3", True), (20.0, "0-1", False), (4.0, "0-3", False)])
def test_saturated_threads_beside_idle_cpus(timed, idle_s, cpus, found):
    timed.budgets = {"reactor-0": (9.5, 0.1), "reactor-1": (9.5, 0.1)}
    timed.idle_s, timed.cpus_online = idle_s, cpus
    result = timed.result("too-few-workers")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(50)


def test_threads_that_are_not_saturated_are_enough(timed):
    timed.idle_s, timed.cpus_online = 30.0, "0-3"
    assert isinstance(timed.result("too-few-workers"), Pass)


@pytest.mark.parametrize(("connections", "kind"), [(16, Finding), (2, Inconclusive)])
def test_one_hot_thread(timed, connections, kind):
    timed.budgets = {"reactor-0": (9.5, 0.0), "reactor-1": (1.0, 0.0)}
    timed.connections = []
    timed.connect(0, connections)
    result = timed.result("uneven-load")
    assert isinstance(result, kind)
    if kind is Finding:
        assert "reactor-0 is busy 95 % of the time, the other thread of its kind 10 %" in result.summary
        assert result.cost_pct == pytest.approx(95 - 52.5)


def test_an_even_load(timed):
    timed.budgets = {"reactor-0": (9.5, 0.0), "reactor-1": (6.0, 0.0)}
    assert isinstance(timed.result("uneven-load"), Pass)


# ---- cpu-quota ----


@pytest.mark.parametrize(("throttled", "found"), [(4, False), (60, True)])
def test_a_cpu_quota(timed, throttled, found):
    timed.budgets = {"reactor-0": (2.0, 3.0), "reactor-1": (2.0, 3.0)}
    timed.cpu_limits = [("/sys/fs/cgroup/web", 50_000, 100_000, 100, throttled, throttled * 60_000_000)]
    result = timed.result("cpu-quota")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(30)
        assert "quota of 0.5 CPUs stops the server in 60 %" in result.summary


def test_no_quota(timed):
    assert isinstance(timed.result("cpu-quota"), Pass)


# ---- accept-queue-overflow ----


@pytest.mark.parametrize(("overflows", "found"), [(0, False), (9, False), (10, True)])
def test_a_queue_that_overflows(timed, overflows, found):
    timed.counters = {"TcpExt.ListenOverflows": overflows, "TcpExt.ListenDrops": overflows} if overflows else {}
    timed.listeners = [(PID, 8080, 1, 6)]
    result = timed.result("accept-queue-overflow")
    assert isinstance(result, Finding) is found
    if found:
        assert result.severity is Severity.MAJOR
        assert "port 8080: 6 connections wait" in text(result)


# ---- receive-drops ----


@pytest.mark.parametrize(("dropped", "delivered", "found"), [(0, 1000, False), (9, 91, False), (10, 90, True)])
def test_datagrams_that_are_dropped(timed, dropped, delivered, found):
    timed.counters = {"Udp.InDatagrams": delivered}
    # Two processes share the socket.
    timed.udp_sockets = [(PID, 5300, 7, dropped), (PID + 1, 5300, 7, dropped)]
    result = timed.result("receive-drops")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(10)
        assert "most by a socket of port 5300: 10" in text(result)


def test_few_drops_of_many_datagrams(timed):
    timed.counters = {"Udp.InDatagrams": 1_000_000}
    timed.udp_sockets = [(PID, 5300, 7, 999)]
    assert isinstance(timed.result("receive-drops"), Pass)


def test_drops_in_other_sockets_of_the_namespace(timed):
    timed.counters = {"Udp.InDatagrams": 1000, "Udp.RcvbufErrors": 500}
    timed.udp_sockets = []
    assert isinstance(timed.result("receive-drops"), Pass)


# ---- connection-churn, page-fault-cost, send-buffer-too-small ----


@pytest.mark.parametrize(("accepted", "found"), [(70_000, False), (90_000, True)])
def test_connections_for_few_messages(world, accepted, found):
    """A connection for five of the 400,000 messages or fewer."""
    for call in ("accept4", "close"):
        world.call("reactor-0", call, accepted)
    world.sample("reactor-0", "start_thread;serve;accept4;k:do_syscall_64;k:__x64_sys_accept4;k:inet_csk_accept", 100)
    result = world.result("connection-churn")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(100 * 100 / 1500, rel=0.01)
        assert "4.4 messages" in result.summary


def test_calls_of_accept_without_a_connection_are_no_churn(world):
    world.call("reactor-0", "accept4", 400_000).call("reactor-0", "close", 10)
    assert isinstance(world.result("connection-churn"), Pass)


@pytest.mark.parametrize(("faults", "found"), [(0, False), (30, False), (140, True)])
def test_time_in_page_faults(timed, faults, found):
    timed.modes = (300, 300, faults, 100)
    result = timed.result("page-fault-cost")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(100 * 140 / 840)


def test_a_full_send_buffer(timed):
    timed.asleep["reactor-0"] = {"sendto": 6.0}
    timed.sleep_objects.append((0, *timed.thread("reactor-0"), "sendto", "accepted", "", 8080, 1000, 6 * 10**9))
    result = timed.result("send-buffer-too-small")
    assert isinstance(result, Finding)
    assert result.cost_pct == pytest.approx(60)
    assert isinstance(timed.result("waits-for-backend"), Pass)


# ---- delayed-ack, retransmissions ----


def tcp(busy_s, segments, *, receiver_s=0.0, buffer_s=0.0, again=0, rtt_ms=0.05, accepted=True, unsent=100):
    ns = [int(seconds * 1e9) for seconds in (busy_s, receiver_s, buffer_s)]
    return (PID, 8080, accepted, 5.0, *ns, segments, again, unsent, 1, int(rtt_ms * 1e6))


@pytest.mark.parametrize(
    ("connection", "found"),
    [
        (tcp(4.8, 240), True),  # 20 ms per segment
        (tcp(4.8, 240, accepted=False), True),
        (tcp(4.8, 100_000), False),  # a connection that is used without a break
        (tcp(4.8, 240, rtt_ms=20.0), False),  # a long way
        (tcp(4.8, 240, receiver_s=4.0), False),  # the client does not read
        (tcp(4.8, 240, buffer_s=4.0), False),
        (tcp(4.8, 240, again=20), False),  # losses
        (tcp(0.5, 25), False),  # a quiet connection
        (tcp(4.8, 240, unsent=0), False),  # acknowledged by the next request
    ],
)
def test_small_writes_that_wait_for_acknowledgments(timed, connection, found):
    timed.tcp_connections = [connection]
    timed.budgets = {"reactor-0": (0.1, 0.0), "reactor-1": (0.1, 0.0)}
    result = timed.result("delayed-ack")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(96 * 0.99)
        assert "20 ms per segment" in result.summary


def test_a_server_whose_data_is_outstanding_is_not_idle(timed):
    timed.budgets = {"reactor-0": (0.1, 0.0), "reactor-1": (0.1, 0.0)}
    assert RunContext(timed.run()).saturation.state == "idle"
    timed.tcp_connections = [tcp(4.8, 240)]
    assert RunContext(timed.run()).saturation.state == "not saturated"


@pytest.mark.parametrize(("again", "found"), [(9, False), (10, True)])
def test_segments_that_are_sent_again(timed, again, found):
    timed.tcp_connections = [tcp(0.1, 1000, again=again)]
    assert isinstance(timed.result("retransmissions"), Finding) is found


@pytest.mark.parametrize(("buffer_s", "found"), [(0.4, False), (2.0, True)])
def test_connections_that_their_send_buffer_limits(timed, buffer_s, found):
    timed.tcp_connections = [tcp(4.0, 10_000, buffer_s=buffer_s)]
    result = timed.result("send-buffer-too-small")
    assert isinstance(result, Finding) is found
    if found:
        assert result.cost_pct == pytest.approx(40)
