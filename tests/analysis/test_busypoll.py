"""The checks of the prerequisites and the verdict, on hand-made tables."""

from typing import Any

import pytest

from netprobe.analysis.busypoll import NAPI_IDS, BusyPolling, Check, analyse
from netprobe.run.table import Table

THREAD = (4001, 4002, "web", "io-0")
OTHERS = (0, 0, "", "")
NAPI = 8193
COLUMNS = {
    "busy_polls": ("interval", "pid", "tid", "process", "thread", "napi_id", "budget", "attempts", "hits", "packets",
                   "episodes", "last_poll_packets", "polling_ns"),
    "softirq_polls": ("interval", "napi_id", "threaded", "polls", "packets"),
    "napis": ("napi_id", "queue", "defer_hard_irqs", "gro_flush_timeout_ns", "device"),
    "polling_settings": ("name", "value"),
    "polling_sets": ("pid", "fd", "kind", "known", "busy_poll_us", "budget", "prefer", "napi_id", "connections"),
    "polling_connections": ("pid", "napi_id", "busy_poll_us", "budget", "prefer", "connections"),
    "polling_kernel": ("network_namespace", "busy_poll_rx_packets"),
    "polling_sleeps": ("pid", "tid", "voluntary_switches"),
    "syscalls": ("interval", "pid", "tid", "process", "thread", "syscall", "calls"),
    "syscall_timeouts": ("interval", "pid", "tid", "process", "thread", "syscall", "timeout", "timeout_log2_us",
                         "calls", "timeout_total_ns"),
}  # fmt: skip


def polls(
    attempts: int, hits: int, packets: int, who: Any = THREAD, napi: int = NAPI, last: int = 0
) -> tuple[Any, ...]:
    return (0, *who, napi, 8, attempts, hits, packets, 1, last, 1000)


def waits(zero: int = 0, infinite: int = 0) -> list[tuple[Any, ...]]:
    rows = [("zero", -1, zero), ("infinite", -1, infinite)]
    return [(0, *THREAD, "epoll_wait", name, bucket, calls, 0) for name, bucket, calls in rows if calls]


# A server that busy-polls, by table.
GOOD: dict[str, list[tuple[Any, ...]]] = {
    "busy_polls": [polls(1000, 100, 900, last=10)],
    "softirq_polls": [(0, NAPI, False, 9, 90)],
    "napis": [(NAPI, 0, 2, 200_000, "eth0")],
    "polling_settings": [("net.core.busy_poll", 50), ("net.core.busy_read", 0)],
    "polling_sets": [(4001, 5, "epoll", True, 200, 8, True, NAPI, 16)],
    "polling_connections": [(4001, NAPI, 0, 0, False, 16)],
    "polling_kernel": [(1, 900)],
    "polling_sleeps": [(4001, 4002, 10)],
    "syscalls": [(0, *THREAD, "epoll_wait", 1000)],
    "syscall_timeouts": waits(infinite=1000),
}
OFF = {
    "busy_polls": [],
    "polling_kernel": [(1, 0)],
    "polling_settings": [("net.core.busy_poll", 0), ("net.core.busy_read", 0)],
    "polling_sets": [(4001, 5, "epoll", True, 0, 0, False, NAPI, 16)],
}
NOT_POLLING = {"busy_polls": [], "polling_kernel": [(1, 0)]}
SLEEPS = {"polling_sleeps": [(4001, 4002, 900)]}


def found(**changes: Any) -> BusyPolling:
    rows = GOOD | changes
    tables = {
        name: Table(name, {column: [row[index] for row in rows[name]] for index, column in enumerate(columns)})
        for name, columns in COLUMNS.items()
    }
    return analyse(tables)


def check(result: BusyPolling, start: str) -> Check:
    (found,) = [check for check in result.checks if check.name.startswith(start)]
    return found


def test_busy_polling_that_works():
    result = found()
    assert (result.verdict, result.share_pct) == ("good", 91.0)
    assert result.sentence == "Busy polling works: 1000 attempts, 100 hits (10.0 %), 91.0 % of the packets."
    assert [check.state for check in result.checks] == ["ok"] * 6
    assert not result.disagrees
    (napi,) = result.napis
    assert (napi.name, napi.by_target, napi.by_softirq, napi.by_thread, napi.by_others) == (
        "eth0 queue 0",
        910,
        90,
        0,
        0,
    )


def test_busy_polling_that_is_not_enabled():
    result = found(**OFF)
    assert result.verdict == "none"
    assert check(result, "busy polling is").state == "failed"
    assert "net.core.busy_poll=50" in check(result, "busy polling is").fix
    assert check(result, "busy polling is").evidence in result.sentence
    assert check(result, "interrupts are deferred").state == "not needed"
    assert check(result, "waits find").state == "not needed"


ON_A_SOCKET = [(4001, NAPI, 50, 0, False, 1), (4001, NAPI, 0, 0, False, 15)]
RECEIVES: dict[str, Any] = {"syscalls": [], "syscall_timeouts": []}
POLLS = {
    "syscalls": [(0, *THREAD, "poll", 1000)],
    "syscall_timeouts": [(0, *THREAD, "poll", "infinite", -1, 1000, 0)],
}


@pytest.mark.parametrize(
    "change",
    [
        {"polling_settings": [("net.core.busy_poll", 50), ("net.core.busy_read", 0)]},
        {"polling_sets": [(4001, 5, "epoll", True, 64, 8, False, NAPI, 16)]},
        {"polling_connections": ON_A_SOCKET, **RECEIVES},
        {"polling_connections": ON_A_SOCKET, **POLLS, "polling_settings": GOOD["polling_settings"]},
        {"polling_sets": [(4001, 5, "io_uring", True, 64, 0, False, NAPI, 16)]},
    ],
)
def test_settings_that_enable_busy_polling(change):
    assert check(found(**(OFF | change)), "busy polling is").state == "ok"


@pytest.mark.parametrize(
    "change",
    [
        {**RECEIVES, "polling_settings": GOOD["polling_settings"]},
        {**POLLS, "polling_settings": GOOD["polling_settings"]},
        {**POLLS, "polling_connections": ON_A_SOCKET},
        {"polling_connections": ON_A_SOCKET},
    ],
)
def test_settings_that_do_not_suffice(change):
    """poll needs the sysctl and SO_BUSY_POLL, recv SO_BUSY_POLL only, and epoll ignores SO_BUSY_POLL."""
    assert check(found(**(OFF | change)), "busy polling is").state == "failed"


def test_a_setting_that_is_already_there_is_no_fix():
    """epoll ignores SO_BUSY_POLL, which this server has set."""
    fix = check(found(**(OFF | {"polling_connections": ON_A_SOCKET})), "busy polling is").fix
    assert "EPIOCSPARAMS" in fix
    assert "SO_BUSY_POLL" not in fix


def test_unreadable_settings_are_inconclusive():
    """In a container without /proc/sys/net/core/busy_poll: inconclusive differs from failed."""
    unreadable = {"polling_settings": [("net.core.busy_poll", None), ("net.core.busy_read", None)]}
    result = found(**(OFF | SLEEPS | unreadable))
    assert check(result, "busy polling is").state == "inconclusive"
    assert result.verdict == "inconclusive"


def test_all_waits_have_a_zero_timeout():
    result = found(**NOT_POLLING, syscall_timeouts=waits(zero=4711))
    assert result.verdict == "none"
    assert "all 4711 waits have a zero timeout" in result.sentence
    assert check(result, "waits are blocking").state == "failed"


def test_some_waits_have_a_zero_timeout():
    result = found(syscall_timeouts=waits(zero=300, infinite=700))
    assert check(result, "waits are blocking").state == "ok"
    assert "300 of 1000 waits have a zero timeout (30.0 %)" in check(result, "waits are blocking").evidence


def test_no_waits():
    result = found(**NOT_POLLING, syscall_timeouts=[])
    assert check(result, "waits are blocking").state == "inconclusive"
    assert result.verdict == "inconclusive"
    assert check(found(syscall_timeouts=[]), "waits are blocking").state == "ok", "recv() polled"


def test_no_connection_has_a_napi_id():
    result = found(
        **NOT_POLLING, softirq_polls=[], polling_connections=[(4001, 0, 0, 0, False, 7)],
        polling_sets=[(4001, 5, "epoll", True, 200, 8, True, 0, 7)],
    )  # fmt: skip
    assert check(result, "connections have").state == "failed"
    assert "none of 7 connections" in result.sentence
    assert result.verdict == "none"
    assert check(result, "each epoll set").state == "not needed"


def test_some_connections_without_a_napi_id():
    result = found(polling_connections=[(4001, 0, 0, 0, False, 7), (4001, NAPI, 0, 0, False, 16)])
    assert check(result, "connections have") == Check(NAPI_IDS, "ok", "16 of 23 connections have a NAPI id")


def test_no_connections():
    result = found(**NOT_POLLING, **SLEEPS, softirq_polls=[], polling_connections=[], polling_sets=[])
    assert check(result, "connections have").state == "inconclusive"
    assert result.verdict == "inconclusive"


MIXED = {
    "polling_sets": [
        (4001, 5, "epoll", True, 200, 8, True, NAPI, 9), (4001, 5, "epoll", True, 200, 8, True, NAPI + 1, 7),
        (4001, 6, "epoll", True, 200, 8, True, NAPI, 3),
    ],
    "polling_connections": [(4001, NAPI, 0, 0, False, 12), (4001, NAPI + 1, 0, 0, False, 7)],
    "napis": [(NAPI, 0, 0, 0, "eth0"), (NAPI + 1, 1, 0, 0, "eth0")],
}  # fmt: skip


def test_mixed_napi_ids():
    result = found(**MIXED, busy_polls=[polls(1000, 10, 20)], softirq_polls=[(0, NAPI + 1, False, 9, 900)])
    failed_check = check(result, "each epoll set")
    assert failed_check.state == "failed"
    assert failed_check.evidence.startswith(
        "1 of 2 sets have connections of several instances; descriptor 5 of process 4001 has 9 of NAPI 8193 "
        "(eth0 queue 0), 7 of NAPI 8194 (eth0 queue 1)"
    )
    assert result.verdict == "mixed"


def test_mixed_napi_ids_with_a_good_share():
    result = found(**MIXED)
    assert check(result, "each epoll set").state == "failed"
    assert result.verdict == "good"


def test_mixed_napi_ids_without_attempts():
    result = found(**(MIXED | NOT_POLLING))
    assert result.verdict == "none"
    assert "connections of several instances" in result.sentence


def test_a_ring_beside_epoll_does_not_mix():
    """The connections of a ring are not known, so each ring lists all of its process."""
    rows = [(4001, 5, "io_uring", True, 200, 0, True, number, 8) for number in (NAPI, NAPI + 1)]
    assert check(found(polling_sets=rows), "each epoll set").state in ("ok", "not needed")


def test_events_are_always_ready():
    """No attempts, since an event was ready at each wait."""
    result = found(**NOT_POLLING, polling_sleeps=[(4001, 4002, 3)])
    assert check(result, "waits find").state == "failed"
    assert result.verdict == "none"
    assert "always ready" in result.sentence
    assert "none needed" in result.sentence


def test_sleeps_without_attempts():
    result = found(**NOT_POLLING, **SLEEPS)
    assert check(result, "waits find").state == "inconclusive"
    assert result.verdict == "inconclusive"


def test_a_kernel_without_busy_polling():
    """No CONFIG_NET_RX_BUSY_POLL: no sysctl, no NAPI ids."""
    result = found(
        busy_polls=[], polling_settings=[("net.core.busy_poll", None), ("net.core.busy_read", None)],
        polling_connections=[(4001, 0, 0, 0, False, 7)], polling_kernel=[],
        polling_sets=[(4001, 5, "epoll", False, 0, 0, False, 0, 7)],
    )  # fmt: skip
    assert result.kernel_packets is None
    assert not result.disagrees
    assert any("CONFIG_NET_RX_BUSY_POLL" in one.evidence + one.fix for one in result.checks)


SOFTIRQ_FIRST = {"busy_polls": [polls(9000, 90, 100)], "softirq_polls": [(0, NAPI, False, 9, 900)]}


@pytest.mark.parametrize(
    ("napi", "prefer", "wanted", "unwanted"),
    [
        ((NAPI, 0, 0, 0, "eth0"), False, ["/sys/class/net/eth0/napi_defer_hard_irqs", "prefer_busy_poll"], []),
        ((NAPI, 0, 2, 0, "eth0"), True, ["gro_flush_timeout"], ["prefer_busy_poll"]),
        ((NAPI, 0, 2, 200_000, "eth0"), False, ["prefer_busy_poll"], ["/sys/class/net"]),
        ((NAPI, 0, 2, 200_000, "eth0"), True, ["increase"], ["/sys/class/net", "prefer_busy_poll"]),
    ],
)
def test_softirq_first(napi, prefer, wanted, unwanted):
    sets = [(4001, 5, "epoll", True, 200, 8, prefer, NAPI, 16)]
    result = found(**SOFTIRQ_FIRST, polling_kernel=[(1, 100)], napis=[napi], polling_sets=sets)
    assert (result.verdict, result.share_pct) == ("softirq first", 10.0)
    failed_check = check(result, "interrupts are deferred")
    assert failed_check.state == "failed"
    assert "busy polling took 10.0 % of the packets" in failed_check.evidence
    assert all(text in failed_check.fix for text in wanted)
    assert not any(text in failed_check.fix for text in unwanted)


def test_prefer_on_the_sockets_is_sufficient():
    """SO_PREFER_BUSY_POLL has the effect of prefer_busy_poll of the epoll set."""
    result = found(
        **SOFTIRQ_FIRST, polling_sets=[(4001, 5, "epoll", True, 0, 0, False, NAPI, 16)],
        polling_connections=[(4001, NAPI, 200, 8, True, 16)],
    )  # fmt: skip
    assert "prefer busy poll on" in check(result, "interrupts are deferred").evidence


def test_napi_threads_are_counted_apart_from_softirqs():
    result = found(**NOT_POLLING, softirq_polls=[(0, NAPI, True, 9, 800), (0, NAPI, False, 1, 50)])
    (napi,) = result.napis
    assert (napi.by_thread, napi.by_softirq) == (800, 50)


def test_polls_of_other_threads_are_not_the_targets():
    result = found(busy_polls=[polls(50, 5, 10), polls(5000, 500, 1000, OTHERS)], polling_kernel=[(1, 1010)])
    (napi,) = result.napis
    assert (napi.by_target, napi.by_others, len(result.rows)) == (10, 1000, 1)
    assert result.share_pct == pytest.approx(100 * 10 / 1100)
    assert not result.disagrees


@pytest.mark.parametrize(
    ("kernel", "disagrees"), [(900, False), (882, True), (918, False), (919, True), (885, False), (0, True)]
)
def test_counts_are_compared_with_those_of_the_kernel(kernel, disagrees):
    """The counts differ if they are more than 2 % apart."""
    result = found(polling_kernel=[(1, kernel)])
    assert (result.kernel_packets, result.counted_packets, result.disagrees) == (kernel, 900, disagrees)


def test_polls_of_other_instances_do_not_count_as_a_difference():
    """The counter of the kernel covers the namespace, including packets of other queues."""
    result = found(busy_polls=[*GOOD["busy_polls"], polls(500, 50, 700, OTHERS, NAPI + 1)], polling_kernel=[(1, 1600)])
    assert not result.disagrees


def test_packets_of_foreign_instances_are_not_in_the_share():
    result = found(softirq_polls=[(0, NAPI, False, 9, 90), (0, NAPI + 5, False, 9, 10_000)])
    assert result.share_pct == 91.0
    assert [napi.napi_id for napi in result.napis] == [NAPI]


def test_intervals_are_summed():
    rows = [polls(10, 1, 2), (1, *polls(30, 2, 5)[1:])]
    (row,) = found(busy_polls=rows).rows
    assert (row.attempts, row.hits, row.packets, row.episodes, row.polling_ns) == (40, 3, 7, 2, 2000)
