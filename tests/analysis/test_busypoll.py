"""Each link of the chain, and the verdict, on tables made by hand."""

from typing import Any

import pytest

from netprobe.analysis.busypoll import BusyPolling, Link, analyse
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
    "syscall_timeouts": ("interval", "pid", "tid", "process", "thread", "syscall", "timeout", "timeout_log2_us", "calls",
                         "timeout_total_ns"),
}  # fmt: skip


def polls(
    attempts: int, hits: int, packets: int, who: Any = THREAD, napi: int = NAPI, last: int = 0
) -> tuple[Any, ...]:
    return (0, *who, napi, 8, attempts, hits, packets, 1, last, 1000)


def waits(zero: int = 0, infinite: int = 0) -> list[tuple[Any, ...]]:
    rows = [("zero", -1, zero), ("infinite", -1, infinite)]
    return [(0, *THREAD, "epoll_wait", name, octave, calls, 0) for name, octave, calls in rows if calls]


# A server that could poll, and does: by rows.
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


def link(result: BusyPolling, start: str) -> Link:
    (one,) = [one for one in result.links if one.name.startswith(start)]
    return one


def test_good():
    result = found()
    assert (result.verdict, result.share_pct) == ("good", 91.0)
    assert result.sentence == "Busy polling works: 1000 attempts, 100 hits (10.0 %), 91.0 % of the packets."
    assert [one.state for one in result.links] == ["ok"] * 6
    assert not result.disagrees
    (napi,) = result.napis
    assert (napi.name, napi.by_target, napi.by_softirq, napi.by_thread, napi.by_others) == (
        "eth0 queue 0",
        910,
        90,
        0,
        0,
    )


def test_switched_off():
    result = found(**OFF)
    assert result.verdict == "none"
    assert link(result, "busy polling is").state == "broken"
    assert "net.core.busy_poll=50" in link(result, "busy polling is").fix
    assert link(result, "busy polling is").evidence in result.sentence
    assert link(result, "the softirq").state == "not needed"
    assert link(result, "waits find").state == "not needed"


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
def test_each_way_to_switch_it_on(change):
    assert link(found(**(OFF | change)), "busy polling is").state == "ok"


@pytest.mark.parametrize(
    "change",
    [
        {**RECEIVES, "polling_settings": GOOD["polling_settings"]},
        {**POLLS, "polling_settings": GOOD["polling_settings"]},
        {**POLLS, "polling_connections": ON_A_SOCKET},
        {"polling_connections": ON_A_SOCKET},
    ],
)
def test_each_way_that_is_not_enough(change):
    """poll wants the sysctl and a time on the socket, a receive only the latter, epoll not that at all."""
    assert link(found(**(OFF | change)), "busy polling is").state == "broken"


def test_no_remedy_that_is_there_already():
    """epoll does not look at SO_BUSY_POLL: a server that has it is not helped by it."""
    fix = link(found(**(OFF | {"polling_connections": ON_A_SOCKET})), "busy polling is").fix
    assert "EPIOCSPARAMS" in fix
    assert "SO_BUSY_POLL" not in fix


def test_unreadable_settings_are_unknown():
    """In a container without /proc/sys/net/core/busy_poll: inconclusive is not the same as broken."""
    unreadable = {"polling_settings": [("net.core.busy_poll", None), ("net.core.busy_read", None)]}
    result = found(**(OFF | SLEEPS | unreadable))
    assert link(result, "busy polling is").state == "unknown"
    assert result.verdict == "inconclusive"


def test_timeout_of_zero():
    result = found(**NOT_POLLING, syscall_timeouts=waits(zero=4711))
    assert result.verdict == "none"
    assert "all 4711 waits have a timeout of 0" in result.sentence
    assert link(result, "waits may wait").state == "broken"


def test_some_timeouts_of_zero():
    result = found(syscall_timeouts=waits(zero=300, infinite=700))
    assert link(result, "waits may wait").state == "ok"
    assert "300 of 1000 waits have a timeout of 0 (30.0 %)" in link(result, "waits may wait").evidence


def test_no_waits():
    result = found(**NOT_POLLING, syscall_timeouts=[])
    assert link(result, "waits may wait").state == "unknown"
    assert result.verdict == "inconclusive"
    assert link(found(syscall_timeouts=[]), "waits may wait").state == "ok", "recv() polled"


def test_no_napi_ids():
    result = found(
        **NOT_POLLING, softirq_polls=[], polling_connections=[(4001, 0, 0, 0, False, 7)],
        polling_sets=[(4001, 5, "epoll", True, 200, 8, True, 0, 7)],
    )  # fmt: skip
    assert link(result, "connections have").state == "broken"
    assert "none of 7 connections" in result.sentence
    assert result.verdict == "none"
    assert link(result, "each epoll set").state == "not needed"


def test_some_without_napi_id():
    result = found(polling_connections=[(4001, 0, 0, 0, False, 7), (4001, NAPI, 0, 0, False, 16)])
    assert link(result, "connections have") == Link("connections have a NAPI id", "ok", "16 of 23 connections have one")


def test_no_connections():
    result = found(**NOT_POLLING, **SLEEPS, softirq_polls=[], polling_connections=[], polling_sets=[])
    assert link(result, "connections have").state == "unknown"
    assert result.verdict == "inconclusive"


MIXED = {
    "polling_sets": [
        (4001, 5, "epoll", True, 200, 8, True, NAPI, 9), (4001, 5, "epoll", True, 200, 8, True, NAPI + 1, 7),
        (4001, 6, "epoll", True, 200, 8, True, NAPI, 3),
    ],
    "polling_connections": [(4001, NAPI, 0, 0, False, 12), (4001, NAPI + 1, 0, 0, False, 7)],
    "napis": [(NAPI, 0, 0, 0, "eth0"), (NAPI + 1, 1, 0, 0, "eth0")],
}  # fmt: skip


def test_mixed_ids():
    result = found(**MIXED, busy_polls=[polls(1000, 10, 20)], softirq_polls=[(0, NAPI + 1, False, 9, 900)])
    one = link(result, "each epoll set")
    assert one.state == "broken"
    assert one.evidence.startswith(
        "1 of 2 sets mix instances; descriptor 5 of process 4001 has 9 of NAPI 8193 (eth0 queue 0), "
        "7 of NAPI 8194 (eth0 queue 1)"
    )
    assert result.verdict == "mixed"


def test_mixed_ids_that_do_not_matter_much():
    result = found(**MIXED)
    assert link(result, "each epoll set").state == "broken"
    assert result.verdict == "good"


def test_mixed_ids_and_no_attempts():
    result = found(**(MIXED | NOT_POLLING))
    assert result.verdict == "none"
    assert "mix instances" in result.sentence


def test_a_ring_beside_epoll_does_not_mix():
    """A ring names no connections, so all of the process's stand with it."""
    rows = [(4001, 5, "io_uring", True, 200, 0, True, number, 8) for number in (NAPI, NAPI + 1)]
    assert link(found(polling_sets=rows), "each epoll set").state in ("ok", "not needed")


def test_always_ready():
    """No attempts because no wait ever found nothing: a good sign."""
    result = found(**NOT_POLLING, polling_sleeps=[(4001, 4002, 3)])
    assert link(result, "waits find").state == "broken"
    assert result.verdict == "none"
    assert "good sign" in result.sentence
    assert "none needed" in result.sentence


def test_sleeps_and_yet_no_attempts():
    result = found(**NOT_POLLING, **SLEEPS)
    assert link(result, "waits find").state == "unknown"
    assert result.verdict == "inconclusive"


def test_a_kernel_without_busy_polling():
    """No CONFIG_NET_RX_BUSY_POLL: no sysctl, no NAPI ids. The issue wants it said."""
    result = found(
        busy_polls=[], polling_settings=[("net.core.busy_poll", None), ("net.core.busy_read", None)],
        polling_connections=[(4001, 0, 0, 0, False, 7)], polling_kernel=[],
        polling_sets=[(4001, 5, "epoll", False, 0, 0, False, 0, 7)],
    )  # fmt: skip
    assert result.kernel_packets is None
    assert not result.disagrees
    assert any("CONFIG_NET_RX_BUSY_POLL" in one.evidence + one.fix for one in result.links)


SOFTIRQ_FIRST = {"busy_polls": [polls(9000, 90, 100)], "softirq_polls": [(0, NAPI, False, 9, 900)]}


@pytest.mark.parametrize(
    ("napi", "prefer", "wanted", "unwanted"),
    [
        ((NAPI, 0, 0, 0, "eth0"), False, ["/sys/class/net/eth0/napi_defer_hard_irqs", "prefer_busy_poll"], []),
        ((NAPI, 0, 2, 0, "eth0"), True, ["gro_flush_timeout"], ["prefer_busy_poll"]),
        ((NAPI, 0, 2, 200_000, "eth0"), False, ["prefer_busy_poll"], ["/sys/class/net"]),
        ((NAPI, 0, 2, 200_000, "eth0"), True, ["lengthen"], ["/sys/class/net", "prefer_busy_poll"]),
    ],
)
def test_softirq_first(napi, prefer, wanted, unwanted):
    sets = [(4001, 5, "epoll", True, 200, 8, prefer, NAPI, 16)]
    result = found(**SOFTIRQ_FIRST, polling_kernel=[(1, 100)], napis=[napi], polling_sets=sets)
    assert (result.verdict, result.share_pct) == ("softirq first", 10.0)
    one = link(result, "the softirq")
    assert one.state == "broken"
    assert "busy polling took 10.0 % of the packets" in one.evidence
    assert all(text in one.fix for text in wanted)
    assert not any(text in one.fix for text in unwanted)


def test_prefer_on_the_sockets_counts():
    """SO_PREFER_BUSY_POLL is as good as the epoll set's own."""
    result = found(
        **SOFTIRQ_FIRST, polling_sets=[(4001, 5, "epoll", True, 0, 0, False, NAPI, 16)],
        polling_connections=[(4001, NAPI, 200, 8, True, 16)],
    )  # fmt: skip
    assert "prefer busy poll on" in link(result, "the softirq").evidence


def test_napi_threads_are_not_softirqs():
    result = found(**NOT_POLLING, softirq_polls=[(0, NAPI, True, 9, 800), (0, NAPI, False, 1, 50)])
    (napi,) = result.napis
    assert (napi.by_thread, napi.by_softirq) == (800, 50)


def test_other_peoples_polls_are_not_the_targets():
    result = found(busy_polls=[polls(50, 5, 10), polls(5000, 500, 1000, OTHERS)], polling_kernel=[(1, 1010)])
    (napi,) = result.napis
    assert (napi.by_target, napi.by_others, len(result.rows)) == (10, 1000, 1)
    assert result.share_pct == pytest.approx(100 * 10 / 1100)
    assert not result.disagrees


@pytest.mark.parametrize(
    ("kernel", "disagrees"), [(900, False), (882, True), (918, False), (919, True), (885, False), (0, True)]
)
def test_cross_check(kernel, disagrees):
    """More than 2 % of the kernel's count."""
    result = found(polling_kernel=[(1, kernel)])
    assert (result.kernel_packets, result.counted_packets, result.disagrees) == (kernel, 900, disagrees)


def test_cross_check_with_other_servers_on_other_instances():
    """The kernel counts for the whole namespace: packets that others polled from other queues are not missing."""
    result = found(busy_polls=[*GOOD["busy_polls"], polls(500, 50, 700, OTHERS, NAPI + 1)], polling_kernel=[(1, 1600)])
    assert not result.disagrees


def test_packets_of_foreign_instances_are_not_in_the_share():
    result = found(softirq_polls=[(0, NAPI, False, 9, 90), (0, NAPI + 5, False, 9, 10_000)])
    assert result.share_pct == 91.0
    assert [napi.napi_id for napi in result.napis] == [NAPI]


def test_intervals_are_added():
    rows = [polls(10, 1, 2), (1, *polls(30, 2, 5)[1:])]
    (row,) = found(busy_polls=rows).rows
    assert (row.attempts, row.hits, row.packets, row.episodes, row.polling_ns) == (40, 3, 7, 2, 2000)
