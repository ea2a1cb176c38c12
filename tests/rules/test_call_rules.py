"""System calls: read() on sockets, epoll_ctl churn, too many calls per request."""

import pytest

from netprobe.rules.finding import Inconclusive, Pass


def text(finding):
    return " | ".join([finding.summary, *(fact.text for fact in finding.evidence), finding.fix])


# ---- read-on-sockets ----


def reads(world, share=1.0):
    world.drop("syscalls", syscall="recvfrom")
    for name in ("reactor-0", "reactor-1"):
        world.call(name, "read", round(200_000 * share)).call(name, "recvfrom", round(200_000 * (1 - share)))
    return world


def test_messages_are_received_with_read(world):
    assert reads(world).codes() == ["read-on-sockets"]
    found = world.finding("read-on-sockets")
    assert "100 % of the messages" in found.summary
    assert "400000 of 400000 messages were received with read(), 40000 per second" in text(found)
    assert "by reactor-0 and reactor-1" in text(found)
    assert "recv(fd, buffer, size, 0)" in found.fix


def test_stacks_confirm_reads_of_sockets(world):
    way = "read;k:do_syscall_64;k:ksys_read;k:vfs_read;k:sock_read_iter;k:sock_recvmsg;k:tcp_recvmsg"
    found = reads(world).sample("reactor-0", way, 40).finding("read-on-sockets")
    assert "40 of 40 samples in tcp_recvmsg are below ksys_read" in text(found)


def test_the_cost_is_measured_with_many_samples(world):
    reads(world).sample("reactor-0", "read;k:do_syscall_64;k:ksys_read;k:vfs_read;k:rw_verify_area", 60)
    assert world.finding("read-on-sockets").cost_pct == pytest.approx(100 * 60 / 1460 / 2)


@pytest.mark.parametrize(("share", "found"), [(0.09, False), (0.11, True)])
def test_reads_are_reported_from_a_tenth_of_the_messages(world, share, found):
    assert (reads(world, share).codes() == ["read-on-sockets"]) is found


def test_reads_of_files_are_not_reported(world):
    """As many calls of recv as messages."""
    world.call("reactor-0", "read", 200_000)
    assert isinstance(world.result("read-on-sockets"), Pass)


def test_reads_of_other_threads_are_not_reported(world):
    """Receives with io_uring are no system calls; reads of a logger are no messages."""
    world.drop("syscalls", syscall="recvfrom").call("logger", "read", 400_000)
    assert isinstance(world.result("read-on-sockets"), Pass)


def test_reads_without_messages_are_inconclusive(world):
    world.without = {"messages"}
    result = world.result("read-on-sockets")
    assert isinstance(result, Inconclusive)
    assert "probe locality" in result.reason


# ---- epoll-ctl-churn ----


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ({"add": 40_000}, False),  # regular files, which epoll refuses
        ({"add": 40_000, "delete": 100}, False),
        ({"modify": 40_000}, True),
        ({"add": 20_000, "delete": 20_000}, True),
    ],
)
def test_additions_alone_are_no_churn(world, operations, found):
    world.call("reactor-0", "epoll_ctl", sum(operations.values()))
    for operation, calls in operations.items():
        world.add("epoll_changes", "reactor-0", operation, calls)
    assert (world.codes() == ["epoll-ctl-churn"]) is found


def test_epoll_ctl_for_many_messages(world):
    world.call("reactor-0", "epoll_ctl", 40_000)
    assert world.codes() == ["epoll-ctl-churn"]
    found = world.finding("epoll-ctl-churn")
    assert "0.10 times per message" in found.summary
    assert "4000 per second" in text(found)


@pytest.mark.parametrize(("calls", "found"), [(19_000, False), (21_000, True)])
def test_churn_is_reported_from_a_twentieth_of_the_messages(world, calls, found):
    assert (world.call("reactor-0", "epoll_ctl", calls).codes() == ["epoll-ctl-churn"]) is found


def test_calls_for_new_connections_are_no_churn(world):
    world.call("reactor-0", "epoll_ctl", 80_000).call("reactor-0", "accept4", 20_000)
    assert isinstance(world.result("epoll-ctl-churn"), Pass)


def test_the_cost_of_churn_is_its_share_of_the_samples(world):
    world.call("reactor-0", "epoll_ctl", 40_000)
    world.sample("reactor-0", "epoll_ctl;k:do_syscall_64;k:__x64_sys_epoll_ctl;k:ep_modify", 70)
    assert world.finding("epoll-ctl-churn").cost_pct == pytest.approx(100 * 70 / 1470)


def test_churn_without_messages_is_inconclusive(world):
    world.call("reactor-0", "epoll_ctl", 40_000).rows["messages"] = []
    assert isinstance(world.result("epoll-ctl-churn"), Inconclusive)


# ---- syscalls-per-request ----


def test_one_call_five_times_per_request(world):
    world.call("reactor-0", "clock_gettime", 2_000_000)
    assert world.codes() == ["syscalls-per-request"]
    found = world.finding("syscalls-per-request")
    assert "mainly clock_gettime" in found.summary
    assert "clock_gettime: 5.00 per request, 200000 per second" in text(found)
    assert "estimated from messages" in text(found)


@pytest.mark.parametrize(("each", "found"), [(2.9, False), (3.1, True)])
def test_a_call_is_reported_from_three_per_request(world, each, found):
    world.call("reactor-0", "lseek", round(each * 400_000))
    assert (world.codes() == ["syscalls-per-request"]) is found


@pytest.mark.parametrize(("others", "found"), [(7, False), (8, True)])
def test_all_calls_are_reported_from_ten_per_request(world, others, found):
    """One receive, one send, an eighth of a wait."""
    for number in range(others):
        world.call("reactor-0", f"call_{number}", 400_000)
    assert (world.codes() == ["syscalls-per-request"]) is found


def test_calls_for_new_connections_are_not_excessive(world):
    """One request per connection."""
    for call in ("accept4", "close", "shutdown", "getsockname"):
        world.call("reactor-0", call, 400_000)
    for call in ("setsockopt", "epoll_ctl"):
        world.call("reactor-0", call, 800_000)
    assert world.codes() == ["connection-churn"]


def test_requests_reported_by_the_load_generator(world):
    world.requests = {"count": 100_000, "source": "wrk.txt"}
    found = world.finding("syscalls-per-request")
    assert "recvfrom: 4.00 per request" in text(found)
    assert "100000 requests, from wrk.txt" in text(found)


def test_waits_with_a_zero_timeout_are_another_finding(world):
    for table in ("syscalls", "syscall_timeouts"):
        world.drop(table, syscall="epoll_pwait")
    world.call("reactor-0", "epoll_wait", 9_000_000, zero=9_000_000)
    assert world.codes() == ["epoll-zero-timeout"]


def test_calls_of_other_threads_are_not_counted(world):
    world.call("compactor", "pread64", 9_000_000)
    assert world.codes() == []


def test_the_cost_is_the_share_of_the_excess_calls(world):
    world.call("reactor-0", "lseek", 1_600_000)
    world.sample("reactor-0", "lseek;k:do_syscall_64;k:__x64_sys_lseek", 140)
    assert world.finding("syscalls-per-request").cost_pct == pytest.approx(100 * 140 / 1540 * 3 / 4)


def test_unknown_requests_are_inconclusive(world):
    world.rows["messages"] = [(*row[:-1], 0) for row in world.rows["messages"]]
    result = world.result("syscalls-per-request")
    assert isinstance(result, Inconclusive)
    assert "--requests" in result.reason
