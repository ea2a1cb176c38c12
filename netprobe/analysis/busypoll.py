"""Busy polling of a server: counts by thread and NAPI instance, and the checks of its prerequisites.

Source: Documentation/networking/napi.rst; ep_busy_loop() in fs/eventpoll.c, napi_busy_loop() in net/core/dev.c.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from netprobe.analysis.syscalls import SyscallRow, summarise
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]
State = Literal["ok", "failed", "inconclusive", "not needed"]

# Names of the checks, in the order of the prerequisites.
ENABLED = "busy polling is enabled"
BLOCKING_WAITS = "waits are blocking"
NAPI_IDS = "connections have a NAPI id"
ONE_NAPI_PER_SET = "each epoll set polls one NAPI instance"
NO_EVENT_READY = "waits find no event ready"
DEFERRED_INTERRUPTS = "interrupts are deferred"

# Busy polling is effective from this share of the packets on.
GOOD_SHARE_PCT = 50.0
# Accepted difference between the counts of netprobe and of the kernel.
CROSS_CHECK_PCT = 2.0
_STRAY_SHARE, _MIN_ATTEMPTS = 0.01, 100
_SHOWN = 4


@dataclass
class PollRow:
    """Busy polls of one thread, NAPI instance and budget. Thread 0 stands for all threads outside the target."""

    pid: int
    tid: int
    process: str
    thread: str
    napi_id: int
    budget: int
    attempts: int = 0
    hits: int = 0
    packets: int = 0
    episodes: int = 0
    last_poll_packets: int = 0
    polling_ns: int = 0


@dataclass
class Napi:
    """A NAPI instance and its packets by poller. `queue` is the number of the queue on the device."""

    napi_id: int
    device: str = "?"
    queue: int = -1
    defer_hard_irqs: int = 0
    gro_flush_timeout_ns: int = 0
    by_target: int = 0
    by_others: int = 0
    by_softirq: int = 0
    by_thread: int = 0

    @property
    def name(self) -> str:
        """Device and queue."""
        return f"{self.device} queue {self.queue}" if self.queue >= 0 else f"NAPI {self.napi_id}"


@dataclass(frozen=True)
class Check:
    """The check of one prerequisite: state, evidence, and the fix if it failed."""

    name: str
    state: State
    evidence: str
    fix: str = ""


@dataclass
class PollSet:
    """An epoll set or ring: its parameters (None: not readable) and its connections by NAPI id."""

    pid: int
    fd: int
    kind: str
    busy_poll_us: int | None
    prefer: bool
    napi_ids: Counter[int] = field(default_factory=Counter)


@dataclass
class BusyPolling:
    """Counts, checks and the verdict."""

    rows: list[PollRow]
    napis: list[Napi]
    checks: list[Check]
    share_pct: float | None
    kernel_packets: int | None
    counted_packets: int
    others_packets: int
    verdict: Literal["good", "softirq first", "none", "mixed", "inconclusive"]
    sentence: str
    requested_by_server: bool = False
    """An epoll set, ring or connection of the server has busy-poll parameters."""
    requested_by_machine: bool = False
    """net.core.busy_poll is set, or a NAPI instance of the server's connections defers interrupts."""
    connections: int = 0
    connections_with_napi: int = 0

    @property
    def requested(self) -> bool:
        """Whether the server or the settings of the machine request busy polling."""
        return self.requested_by_server or self.requested_by_machine

    def check(self, name: str) -> Check:
        """The check of this name."""
        return next(check for check in self.checks if check.name == name)

    @property
    def disagrees(self) -> bool:
        """Whether the counter of the kernel differs by more than 2 %.

        The counter covers a network namespace: polls of other processes and instances may be included or not.
        """
        if self.kernel_packets is None:
            return False
        margin = CROSS_CHECK_PCT / 100 * max(self.kernel_packets, 50)
        low, high = self.counted_packets - margin, self.counted_packets + self.others_packets + margin
        return not low <= self.kernel_packets <= high


def analyse(tables: Tables) -> BusyPolling:
    """Sum the counts, check the prerequisites in order, and derive the verdict."""
    rows, others = poll_rows(tables)
    napis = _napis(tables, rows, others)
    own = _own_napis(tables, napis, rows)
    share = _share(own)
    ids = {napi.napi_id for napi in own}
    own_rows = [row for row in rows if row.napi_id in ids]
    checks = _checks(tables, own_rows, own, share)
    verdict, sentence = _verdict(own_rows, checks, share)
    kernel = [count for (count,) in _rows(tables, "polling_kernel", "busy_poll_rx_packets")]
    counted = sum(row.packets for row in (*rows, *others) if row.napi_id in ids)
    elsewhere = sum(row.packets for row in others if row.napi_id not in ids)
    return BusyPolling(
        rows,
        own,
        checks,
        share,
        sum(kernel) if kernel else None,
        counted,
        elsewhere,
        verdict,
        sentence,
        requested_by_server=_requested_by_server(tables),
        requested_by_machine=_requested_by_machine(tables, own),
        connections=_connections(tables),
        connections_with_napi=_connections(tables, with_napi=True),
    )


def _rows(tables: Tables, name: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    """Rows of a table that may be missing."""
    return tables[name].rows(*columns) if name in tables else ()


def _requested_by_server(tables: Tables) -> bool:
    on_sets = any(poll_set.busy_poll_us for poll_set in poll_sets(tables))
    return on_sets or any(us for (us,) in tables["polling_connections"].rows("busy_poll_us"))


def _requested_by_machine(tables: Tables, own: Sequence[Napi]) -> bool:
    settings = dict(tables["polling_settings"].rows("name", "value"))
    # gro_flush_timeout alone is set for larger GRO packets; with napi_defer_hard_irqs it is set for a poller.
    return bool(settings["net.core.busy_poll"]) or any(napi.defer_hard_irqs for napi in own)


def _connections(tables: Tables, with_napi: bool = False) -> int:
    rows = tables["polling_connections"].rows("napi_id", "connections")
    return sum(count for napi_id, count in rows if napi_id or not with_napi)


# ---- Counts ----


def poll_rows(tables: Tables) -> tuple[list[PollRow], list[PollRow]]:
    """The rows of the target by descending attempts, and the rows of all other threads."""
    found: dict[tuple[int, int, int, int], PollRow] = {}
    names = ("attempts", "hits", "packets", "episodes", "last_poll_packets", "polling_ns")
    for pid, tid, process, thread, napi_id, budget, attempts, hits, packets, episodes, last, polling_ns in thread_rows(
        tables, "busy_polls", "napi_id", "budget", *names
    ):
        row = found.setdefault((pid, tid, napi_id, budget), PollRow(pid, tid, process, thread, napi_id, budget))
        row.attempts += attempts
        row.hits += hits
        row.packets += packets
        row.episodes += episodes
        row.last_poll_packets += last
        row.polling_ns += polling_ns
    rows = sorted(found.values(), key=lambda row: -row.attempts)
    return [row for row in rows if row.tid], [row for row in rows if not row.tid]


def _napis(tables: Tables, rows: Sequence[PollRow], others: Sequence[PollRow]) -> dict[int, Napi]:
    found: dict[int, Napi] = {}
    for number, queue, defer, flush, device in tables["napis"].rows(
        "napi_id", "queue", "defer_hard_irqs", "gro_flush_timeout_ns", "device"
    ):
        found[number] = Napi(number, device, queue, defer, flush)
    for row in rows:
        found.setdefault(row.napi_id, Napi(row.napi_id)).by_target += row.packets + row.last_poll_packets
    for row in others:
        found.setdefault(row.napi_id, Napi(row.napi_id)).by_others += row.packets + row.last_poll_packets
    for number, threaded, packets in tables["softirq_polls"].rows("napi_id", "threaded", "packets"):
        napi = found.setdefault(number, Napi(number))
        if threaded:
            napi.by_thread += packets
        else:
            napi.by_softirq += packets
    return found


def _own_napis(tables: Tables, napis: Mapping[int, Napi], rows: Sequence[PollRow]) -> list[Napi]:
    """The NAPI instances that the target polls, and those that received the packets of its connections.

    A softirq that runs in the context of a thread looks like a poll of an unrelated instance. An instance with less
    than 1 % of the attempts and without connections of the target is therefore not counted.
    """
    connected = {number for (number,) in tables["polling_connections"].rows("napi_id") if number}
    min_attempts = _STRAY_SHARE * sum(row.attempts for row in rows) if connected else 0
    attempts: Counter[int] = Counter()
    for row in rows:
        attempts[row.napi_id] += row.attempts
    polled = {number for number, count in attempts.items() if count >= min_attempts}
    # A server that never waits has only a few polls, and of unrelated instances.
    if connected and not polled & connected:
        polled = {number for number in polled if attempts[number] >= _MIN_ATTEMPTS}
    wanted = polled | connected
    return [napis[number] for number in sorted(wanted) if number in napis]


def _share(own: Sequence[Napi]) -> float | None:
    polled = sum(napi.by_target for napi in own)
    everything = polled + sum(napi.by_others + napi.by_softirq + napi.by_thread for napi in own)
    return 100 * polled / everything if everything else None


# ---- Prerequisites ----


def _checks(tables: Tables, rows: Sequence[PollRow], own: Sequence[Napi], share: float | None) -> list[Check]:
    settings = dict(tables["polling_settings"].rows("name", "value"))
    sets = poll_sets(tables)
    calls = summarise(tables)
    attempted = any(row.attempts for row in rows)
    checks = [
        _enabled(settings, sets, tables, calls, attempted),
        _blocking_waits(calls, attempted),
        _napi_ids(tables, attempted),
        _one_napi(sets, own),
    ]
    checks.append(_no_event_ready(tables, calls, checks, attempted))
    prefers = any(prefer for (prefer,) in tables["polling_connections"].rows("prefer"))
    checks.append(_deferred_interrupts(own, sets, attempted, share, prefers))
    return checks


def poll_sets(tables: Tables) -> list[PollSet]:
    """Epoll sets, and rings with busy-poll parameters."""
    found: dict[tuple[int, int], PollSet] = {}
    for pid, fd, kind, known, busy_poll_us, prefer, napi_id, connections in tables["polling_sets"].rows(
        "pid", "fd", "kind", "known", "busy_poll_us", "prefer", "napi_id", "connections"
    ):
        poll_set = found.setdefault((pid, fd), PollSet(pid, fd, kind, busy_poll_us if known else None, prefer))
        if napi_id >= 0:
            poll_set.napi_ids[napi_id] += connections
    # The connections of a ring are not known, so each ring lists all of its process: only rings with parameters count.
    return [poll_set for poll_set in found.values() if poll_set.kind == "epoll" or poll_set.busy_poll_us]


def _enabled(
    settings: Mapping[str, int | None],
    sets: Sequence[PollSet],
    tables: Tables,
    calls: Sequence[SyscallRow],
    attempted: bool,
) -> Check:
    machine, reads = settings["net.core.busy_poll"], settings["net.core.busy_read"]
    own = {poll_set.busy_poll_us for poll_set in sets if poll_set.busy_poll_us}
    sockets = sum(count for us, count in tables["polling_connections"].rows("busy_poll_us", "connections") if us)
    total = sum(count for (count,) in tables["polling_connections"].rows("connections"))
    evidence = ", ".join((
        f"net.core.busy_poll = {'not readable' if machine is None else machine}",
        f"epoll sets and rings with parameters: {_count_of(own, sets)}",
        f"connections with SO_BUSY_POLL: {sockets} of {total}",
    ))  # fmt: skip
    kinds = _waiting_calls(calls)
    if attempted or own or (sockets and machine) or _suffices(kinds, machine, sockets):
        return Check(ENABLED, "ok", evidence)
    if machine and kinds != {"epoll"}:
        call = "poll or select" if "poll" in kinds else "recv"
        return Check(
            ENABLED,
            "failed",
            f"{evidence}; net.core.busy_poll alone applies to epoll, and this server waits in {call}",
            "Set SO_BUSY_POLL on its sockets, or sysctl net.core.busy_read=50 before it accepts them.",
        )
    if machine is None or reads is None:
        return Check(
            ENABLED,
            "inconclusive",
            evidence,
            "Read net.core.busy_poll in the initial network namespace; if it does not exist there either, the kernel "
            "is built without CONFIG_NET_RX_BUSY_POLL and cannot busy-poll.",
        )
    # SO_BUSY_POLL that is already set is not suggested: on the sockets of an epoll server it has no effect.
    or_sockets = "" if sockets else " or SO_BUSY_POLL on its sockets"
    return Check(
        ENABLED,
        "failed",
        evidence,
        f"For the server alone: EPIOCSPARAMS on its epoll sets (Linux 6.9){or_sockets}. For the machine: sysctl "
        "net.core.busy_poll=50.",
    )


def _waiting_calls(calls: Sequence[SyscallRow]) -> set[str]:
    """The kinds of call in which the server waits: epoll, poll (or select), otherwise receive."""
    names = {row.syscall for row in calls if row.calls}
    kinds = {"epoll" for name in names if name.startswith("epoll")}
    kinds |= {"poll" for name in names if name in ("poll", "ppoll", "select", "pselect6")}
    return kinds or {"receive"}


def _suffices(kinds: set[str], machine: int | None, sockets: int) -> bool:
    """Whether the settings apply to these kinds of call.

    epoll needs net.core.busy_poll only; poll and select need SO_BUSY_POLL as well; receive needs SO_BUSY_POLL only.
    Source: sock_poll() in net/socket.c, sk_can_busy_loop() in include/net/busy_poll.h.
    """
    return bool(("epoll" in kinds and machine) or ("receive" in kinds and sockets))


def _count_of(own: set[int], sets: Sequence[PollSet]) -> str:
    with_parameters = sum(bool(poll_set.busy_poll_us) for poll_set in sets)
    values = ", ".join(f"{us} µs" for us in sorted(us for us in own if us))
    return f"{with_parameters} of {len(sets)}" + (f" ({values})" if values else "")


def _needs_load(name: str, evidence: str, attempted: bool) -> Check:
    """A check without data: it passes if the threads polled all the same."""
    if attempted:
        return Check(name, "ok", evidence)
    return Check(name, "inconclusive", evidence, "Put the server under load.")


def _blocking_waits(calls: Sequence[SyscallRow], attempted: bool) -> Check:
    timeouts: Counter[str] = Counter()
    for row in calls:
        timeouts.update(row.timeouts)
    total = timeouts.total()
    if not total:
        return _needs_load(BLOCKING_WAITS, "no epoll_wait, poll or select was called", attempted)
    zero = timeouts["zero"]
    if zero == total:
        return Check(
            BLOCKING_WAITS,
            "failed",
            f"all {total} waits have a zero timeout, with which the kernel returns before it polls",
            "Wait with a timeout: epoll_wait with -1, or epoll_pwait2 with about 100 µs if the loop has other work.",
        )
    return Check(BLOCKING_WAITS, "ok", f"{zero} of {total} waits have a zero timeout ({100 * zero / total:.1f} %)")


def _napi_ids(tables: Tables, attempted: bool) -> Check:
    by_id: Counter[int] = Counter()
    for napi_id, count in tables["polling_connections"].rows("napi_id", "connections"):
        by_id[napi_id] += count
    total = by_id.total()
    if not total:
        return _needs_load(NAPI_IDS, "no established TCP connection was seen", attempted)
    without = by_id[0]
    if without == total:
        return Check(
            NAPI_IDS,
            "failed",
            f"none of {total} connections has a NAPI id: their packets arrive on no device that supports busy polling",
            "Loopback does not support busy polling, nor does a driver without NAPI; a veth pair needs GRO on and TSO "
            "off on both interfaces (ethtool -K DEVICE gro on tso off).",
        )
    return Check(NAPI_IDS, "ok", f"{total - without} of {total} connections have a NAPI id")


def _one_napi(sets: Sequence[PollSet], own: Sequence[Napi]) -> Check:
    names = {napi.napi_id: napi.name for napi in own}
    mixed = [poll_set for poll_set in sets if poll_set.kind == "epoll" and len(+_with_id(poll_set.napi_ids)) > 1]
    if not any(_with_id(poll_set.napi_ids) for poll_set in sets):
        return Check(ONE_NAPI_PER_SET, "not needed", "no epoll set has connections with a NAPI id")
    if not mixed:
        return Check(ONE_NAPI_PER_SET, "ok", "no epoll set has connections of two NAPI instances")
    first = mixed[0]
    parts = ", ".join(
        f"{count} of NAPI {number} ({names.get(number, 'not polled')})"
        for number, count in _with_id(first.napi_ids).most_common(_SHOWN)
    )
    return Check(
        ONE_NAPI_PER_SET,
        "failed",
        f"{len(mixed)} of {len(sets)} sets have connections of several instances; descriptor {first.fd} of process "
        f"{first.pid} has {parts}. An epoll set stores one NAPI id, that of the last event",
        "Assign each connection to the thread that polls its queue: see `netprobe locality`.",
    )


def _with_id(napi_ids: Counter[int]) -> Counter[int]:
    return Counter({number: count for number, count in napi_ids.items() if number > 0})


def _no_event_ready(tables: Tables, calls: Sequence[SyscallRow], checks: Sequence[Check], attempted: bool) -> Check:
    if attempted:
        return Check(NO_EVENT_READY, "ok", "the threads did poll")
    if any(check.state == "failed" for check in checks):
        return Check(NO_EVENT_READY, "not needed", "an earlier check failed")
    if "polling_sleeps" not in tables:
        return Check(NO_EVENT_READY, "inconclusive", "the number of sleeps was not recorded")
    slept = sum(count for (count,) in tables["polling_sleeps"].rows("voluntary_switches"))
    waits = sum(row.timeouts.total() for row in calls)
    if not waits:
        return Check(NO_EVENT_READY, "inconclusive", "no wait was seen")
    if slept > waits / 100:
        return Check(
            NO_EVENT_READY, "inconclusive", f"the threads slept {slept} times in {waits} waits, but did not poll"
        )
    return Check(
        NO_EVENT_READY,
        "failed",
        f"the threads slept {slept} times in {waits} waits: an event is always ready",
        "Nothing to fix: a server that never sleeps needs no polling.",
    )


def _deferred_interrupts(
    own: Sequence[Napi], sets: Sequence[PollSet], attempted: bool, share: float | None, prefers: bool
) -> Check:
    if not attempted or share is None:
        return Check(DEFERRED_INTERRUPTS, "not needed", "there was no busy polling")
    settings = ", ".join(
        f"{napi.name}: napi_defer_hard_irqs {napi.defer_hard_irqs}, gro_flush_timeout "
        f"{napi.gro_flush_timeout_ns} ns" for napi in own[:_SHOWN]
    )  # fmt: skip
    prefer = prefers or any(poll_set.prefer for poll_set in sets)
    evidence = (
        f"busy polling took {share:.1f} % of the packets; {settings}; prefer busy poll {'on' if prefer else 'off'}"
    )
    if share >= GOOD_SHARE_PCT:
        return Check(DEFERRED_INTERRUPTS, "ok", evidence)
    deferred = all(napi.defer_hard_irqs and napi.gro_flush_timeout_ns for napi in own)
    steps = []
    if not deferred:
        folder = f"/sys/class/net/{min(napi.device for napi in own)}"
        steps.append(
            f"echo 2 > {shlex.quote(f'{folder}/napi_defer_hard_irqs')}; "
            f"echo 200000 > {shlex.quote(f'{folder}/gro_flush_timeout')}"
        )
    if not prefer:
        steps.append("set prefer_busy_poll (EPIOCSPARAMS, or SO_PREFER_BUSY_POLL on the sockets)")
    if not steps:
        steps.append("increase busy_poll_usecs or gro_flush_timeout: packets arrive while no thread polls")
    return Check(DEFERRED_INTERRUPTS, "failed", evidence, "; ".join(steps) + ".")


# ---- Verdict ----


def _verdict(
    rows: Sequence[PollRow], checks: Sequence[Check], share: float | None
) -> tuple[Literal["good", "softirq first", "none", "mixed", "inconclusive"], str]:
    attempts, hits = sum(row.attempts for row in rows), sum(row.hits for row in rows)
    failed = [check for check in checks if check.state == "failed"]
    mixed = any(check.name == ONE_NAPI_PER_SET for check in failed)
    if attempts and share is not None:
        counts = f"{attempts} attempts, {hits} hits ({100 * hits / attempts:.1f} %), {share:.1f} % of the packets"
        if mixed and share < GOOD_SHARE_PCT:
            return "mixed", f"Busy polling takes few packets because epoll sets mix NAPI ids: {counts}."
        if share >= GOOD_SHARE_PCT:
            return "good", f"Busy polling works: {counts}."
        return "softirq first", f"Busy polling is attempted, but the softirq processes the packets first: {counts}."
    reasons = [check for check in failed if check.name != NO_EVENT_READY]
    if reasons:
        return "none", f"No busy polling: {'; '.join(check.evidence for check in reasons)}."
    if failed:
        return "none", f"No busy polling, and none needed: {failed[0].evidence}."
    unknown = [check for check in checks if check.state == "inconclusive"]
    why = "; ".join(f"{check.name}: {check.evidence}" for check in unknown) or "no poll was seen"
    return "inconclusive", f"No busy polling, and the reason is inconclusive: {why}."
