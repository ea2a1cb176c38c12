"""Does a server busy-poll, and if not, which link of the chain is broken?

Source: Documentation/networking/napi.rst; ep_busy_loop() in fs/eventpoll.c, napi_busy_loop() in net/core/dev.c.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from netprobe.analysis.syscalls import summarise as summarise_syscalls
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]
State = Literal["ok", "broken", "unknown", "not needed"]

# From this share of the packets on, busy polling does its work.
GOOD_SHARE_PCT = 50.0
# netprobe's count and the kernel's may differ by this much before it is said.
CROSS_CHECK_PCT = 2.0
_STRAY, _FEWEST_ATTEMPTS = 0.01, 100
_SHOWN = 4


@dataclass
class PollRow:
    """One thread's busy polls of one NAPI instance with one budget. Thread 0 stands for all not traced."""

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
    """A NAPI instance, and who took packets from it. `queue` is its place on the device."""

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
class Link:
    """One condition of busy polling: its state, what shows it, and what to do if it is broken."""

    name: str
    state: State
    evidence: str
    fix: str = ""


@dataclass
class PollSet:
    """An epoll set or a ring with its parameters (None: cannot be read) and connections by NAPI id."""

    pid: int
    fd: int
    kind: str
    busy_poll_us: int | None
    prefer: bool
    napi_ids: Counter[int] = field(default_factory=Counter)


@dataclass
class BusyPolling:
    """Everything that is known, and the verdict."""

    rows: list[PollRow]
    napis: list[Napi]
    links: list[Link]
    share_pct: float | None
    kernel_packets: int | None
    counted_packets: int
    others_packets: int
    verdict: Literal["good", "softirq first", "none", "mixed", "inconclusive"]
    sentence: str
    asked_by_server: bool = False
    """It has parameters of its own on an epoll set, a ring or a connection."""
    asked_by_machine: bool = False
    """net.core.busy_poll is set, or an instance of its connections leaves packets to a poller."""
    connections: int = 0
    connections_with_napi: int = 0

    def link(self, begins: str) -> Link:
        """The link whose name begins so."""
        return next(link for link in self.links if link.name.startswith(begins))

    @property
    def disagrees(self) -> bool:
        """Whether the kernel's own counter differs by more than 2 %.

        It counts for a whole network namespace: what others polled from other instances may be in it, or not.
        """
        if self.kernel_packets is None:
            return False
        margin = CROSS_CHECK_PCT / 100 * max(self.kernel_packets, 50)
        low, high = self.counted_packets - margin, self.counted_packets + self.others_packets + margin
        return not low <= self.kernel_packets <= high


def analyse(tables: Tables) -> BusyPolling:
    """Add up, evaluate every link of the chain, and say what it means."""
    rows, others = poll_rows(tables)
    napis = _napis(tables, rows, others)
    own = _own_napis(tables, napis, rows)
    share = _share(own)
    ids = {napi.napi_id for napi in own}
    links = _links(tables, [row for row in rows if row.napi_id in ids], own, share)
    verdict, sentence = _verdict([row for row in rows if row.napi_id in ids], own, links, share)
    kernel = [count for (count,) in _rows(tables, "polling_kernel", "busy_poll_rx_packets")]
    counted = sum(row.packets for row in (*rows, *others) if row.napi_id in ids)
    elsewhere = sum(row.packets for row in others if row.napi_id not in ids)
    return BusyPolling(
        rows,
        own,
        links,
        share,
        sum(kernel) if kernel else None,
        counted,
        elsewhere,
        verdict,
        sentence,
        asked_by_server=_asked_by_server(tables),
        asked_by_machine=_asked_by_machine(tables, own),
        connections=_connections(tables),
        connections_with_napi=_connections(tables, with_napi=True),
    )


def _rows(tables: Tables, name: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    """Of a table that may be missing."""
    return tables[name].rows(*columns) if name in tables else ()


def _asked_by_server(tables: Tables) -> bool:
    on_sets = any(here.busy_poll_us for here in poll_sets(tables))
    return on_sets or any(us for (us,) in tables["polling_connections"].rows("busy_poll_us"))


def _asked_by_machine(tables: Tables, own: Sequence[Napi]) -> bool:
    settings = dict(tables["polling_settings"].rows("name", "value"))
    # gro_flush_timeout alone is for larger GRO packets; with deferred interrupts it waits for a poller.
    return bool(settings["net.core.busy_poll"]) or any(napi.defer_hard_irqs for napi in own)


def _connections(tables: Tables, with_napi: bool = False) -> int:
    rows = tables["polling_connections"].rows("napi_id", "connections")
    return sum(count for napi_id, count in rows if napi_id or not with_napi)


# ---- What was counted ----


def poll_rows(tables: Tables) -> tuple[list[PollRow], list[PollRow]]:
    """The target's rows, most packets first, and those of everybody else."""
    found: dict[tuple[int, int, int, int], PollRow] = {}
    names = ("attempts", "hits", "packets", "episodes", "last_poll_packets", "polling_ns")
    for pid, tid, process, thread, napi_id, budget, attempts, hits, packets, episodes, last, polling_ns in thread_rows(
        tables, "busy_polls", "napi_id", "budget", *names
    ):
        fresh = PollRow(pid, tid, process, thread, napi_id, budget)
        row = found.setdefault((pid, tid, napi_id, budget), fresh)
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
    """The instances that the target polls, or that its connections' packets come from.

    A softirq put off to a thread's context now and then looks like a poll of somebody else's instance: less than 1 % of
    the attempts, with connections that come from others, is no polling.
    """
    connected = {number for (number,) in tables["polling_connections"].rows("napi_id") if number}
    least = _STRAY * sum(row.attempts for row in rows) if connected else 0
    attempts: Counter[int] = Counter()
    for row in rows:
        attempts[row.napi_id] += row.attempts
    polled = {number for number, count in attempts.items() if count >= least}
    # A few polls of other instances only, as of a server that never waits.
    if connected and not polled & connected:
        polled = {number for number in polled if attempts[number] >= _FEWEST_ATTEMPTS}
    wanted = polled | connected
    return [napis[number] for number in sorted(wanted) if number in napis]


def _share(own: Sequence[Napi]) -> float | None:
    polled = sum(napi.by_target for napi in own)
    everything = polled + sum(napi.by_others + napi.by_softirq + napi.by_thread for napi in own)
    return 100 * polled / everything if everything else None


# ---- The chain ----


def _links(tables: Tables, rows: Sequence[PollRow], own: Sequence[Napi], share: float | None) -> list[Link]:
    settings = dict(tables["polling_settings"].rows("name", "value"))
    sets = poll_sets(tables)
    attempted = any(row.attempts for row in rows)
    links = [_enabled(settings, sets, tables, attempted), _waits(tables, attempted), _napi_ids(tables, attempted)]
    links.append(_one_napi(sets, own))
    links.append(_nothing_ready(tables, links, attempted))
    prefers = any(prefer for (prefer,) in tables["polling_connections"].rows("prefer"))
    links.append(_softirq(own, sets, attempted, share, prefers))
    return links


def poll_sets(tables: Tables) -> list[PollSet]:
    """Epoll sets, and rings that have parameters."""
    found: dict[tuple[int, int], PollSet] = {}
    for pid, fd, kind, known, busy_poll_us, prefer, napi_id, connections in tables["polling_sets"].rows(
        "pid", "fd", "kind", "known", "busy_poll_us", "prefer", "napi_id", "connections"
    ):
        here = found.setdefault((pid, fd), PollSet(pid, fd, kind, busy_poll_us if known else None, prefer))
        if napi_id >= 0:
            here.napi_ids[napi_id] += connections
    # A ring names no connections, so all of its process stand with each: only those with parameters count.
    return [here for here in found.values() if here.kind == "epoll" or here.busy_poll_us]


def _enabled(settings: Mapping[str, int | None], sets: Sequence[PollSet], tables: Tables, attempted: bool) -> Link:
    name = "busy polling is switched on"
    machine, reads = settings["net.core.busy_poll"], settings["net.core.busy_read"]
    own = {here.busy_poll_us for here in sets if here.busy_poll_us}
    sockets = sum(count for us, count in tables["polling_connections"].rows("busy_poll_us", "connections") if us)
    total = sum(count for (count,) in tables["polling_connections"].rows("connections"))
    words = [f"net.core.busy_poll = {'unreadable here' if machine is None else machine}"]
    words.append(f"epoll sets and rings with parameters of their own: {_count_of(own, sets)}")
    words.append(f"connections with SO_BUSY_POLL: {sockets} of {total}")
    evidence = ", ".join(words)
    if attempted or own or (sockets and machine) or _suffices(_ways_to_wait(tables), machine, sockets):
        return Link(name, "ok", evidence)
    if machine and _ways_to_wait(tables) != {"epoll"}:
        return Link(
            name,
            "broken",
            f"{evidence}; net.core.busy_poll alone is for epoll, and this server waits in another way",
            "Set SO_BUSY_POLL on its sockets, or sysctl net.core.busy_read=50 before it accepts them.",
        )
    if machine is None or reads is None:
        return Link(
            name,
            "unknown",
            evidence,
            "Read net.core.busy_poll in the machine's first network namespace; where it is missing there too, the "
            "kernel is built without CONFIG_NET_RX_BUSY_POLL and cannot busy-poll.",
        )
    # What is set already and does not help, as a socket's time does not help an epoll server, is not advised.
    or_sockets = "" if sockets else " or SO_BUSY_POLL on its sockets"
    return Link(
        name,
        "broken",
        evidence,
        f"For the server alone: EPIOCSPARAMS on its epoll sets (kernel 6.9){or_sockets}. For the machine: sysctl "
        "net.core.busy_poll=50.",
    )


def _ways_to_wait(tables: Tables) -> set[str]:
    """epoll, poll (or select), or neither: then it is the receive call that waits."""
    calls = {row.syscall for row in summarise_syscalls(tables) if row.calls}
    ways = {"epoll" for call in calls if call.startswith("epoll")}
    ways |= {"poll" for call in calls if call in ("poll", "ppoll", "select", "pselect6")}
    return ways or {"receive"}


def _suffices(ways: set[str], machine: int | None, sockets: int) -> bool:
    """net.core.busy_poll is enough for epoll; poll and select want a time on the socket besides; a receive only that.

    Source: sock_poll() in net/socket.c, sk_can_busy_loop() in include/net/busy_poll.h.
    """
    return bool(("epoll" in ways and machine) or ("receive" in ways and sockets))


def _count_of(own: set[int], sets: Sequence[PollSet]) -> str:
    with_parameters = sum(bool(here.busy_poll_us) for here in sets)
    values = ", ".join(f"{us} µs" for us in sorted(us for us in own if us))
    return f"{with_parameters} of {len(sets)}" + (f" ({values})" if values else "")


def _waits(tables: Tables, attempted: bool) -> Link:
    name = "waits may wait"
    timeouts: Counter[str] = Counter()
    for row in summarise_syscalls(tables):
        timeouts.update(row.timeouts)
    total = timeouts.total()
    if not total:
        state: State = "ok" if attempted else "unknown"
        return Link(name, state, "no epoll_wait, poll or select was called", "" if attempted else "Put it under load.")
    zero = timeouts["zero"]
    evidence = f"{zero} of {total} waits have a timeout of 0 ({100 * zero / total:.1f} %)"
    if zero == total:
        return Link(
            name,
            "broken",
            f"all {total} waits have a timeout of 0, with which the kernel returns before it polls",
            "Wait with a timeout: epoll_wait with -1, or epoll_pwait2 with some 100 µs where the loop has other work.",
        )
    return Link(name, "ok", evidence)


def _napi_ids(tables: Tables, attempted: bool) -> Link:
    name = "connections have a NAPI id"
    by_id: Counter[int] = Counter()
    for napi_id, count in tables["polling_connections"].rows("napi_id", "connections"):
        by_id[napi_id] += count
    total = by_id.total()
    if not total:
        state: State = "ok" if attempted else "unknown"
        return Link(name, state, "no established TCP connection was seen", "" if attempted else "Put it under load.")
    without = by_id[0]
    evidence = f"{total - without} of {total} connections have one"
    if without == total:
        return Link(
            name,
            "broken",
            f"none of {total} connections has one: their packets come from no device that can be polled",
            "Loopback cannot busy-poll, nor a device whose driver has no NAPI; a veth pair needs GRO on and TSO off at "
            "both ends (ethtool -K DEVICE gro on tso off).",
        )
    return Link(name, "ok", evidence)


def _one_napi(sets: Sequence[PollSet], own: Sequence[Napi]) -> Link:
    name = "each epoll set polls one NAPI instance"
    names = {napi.napi_id: napi.name for napi in own}
    mixed = [here for here in sets if here.kind == "epoll" and len(+_with_id(here.napi_ids)) > 1]
    if not any(_with_id(here.napi_ids) for here in sets):
        return Link(name, "not needed", "no epoll set holds connections with a NAPI id")
    if not mixed:
        return Link(name, "ok", "no set holds connections of two instances")
    here = mixed[0]
    parts = ", ".join(
        f"{count} of NAPI {number} ({names.get(number, 'not polled')})"
        for number, count in _with_id(here.napi_ids).most_common(_SHOWN)
    )
    return Link(
        name,
        "broken",
        f"{len(mixed)} of {len(sets)} sets mix instances; descriptor {here.fd} of process {here.pid} has {parts}. An "
        "epoll set remembers one NAPI id, the last that had an event",
        "Bring each connection to the thread that polls its queue: see `netprobe locality`.",
    )


def _with_id(napi_ids: Counter[int]) -> Counter[int]:
    return Counter({number: count for number, count in napi_ids.items() if number > 0})


def _nothing_ready(tables: Tables, links: Sequence[Link], attempted: bool) -> Link:
    name = "waits find nothing ready"
    if attempted:
        return Link(name, "ok", "the threads did poll")
    if any(link.state == "broken" for link in links):
        return Link(name, "not needed", "an earlier link is broken")
    if "polling_sleeps" not in tables:
        return Link(name, "unknown", "how often the threads slept was not recorded")
    slept = sum(count for (count,) in tables["polling_sleeps"].rows("voluntary_switches"))
    waits = sum(row.timeouts.total() for row in summarise_syscalls(tables))
    if not waits:
        return Link(name, "unknown", "no wait was seen")
    if slept > waits / 100:
        return Link(name, "unknown", f"the threads went to sleep {slept} times in {waits} waits, and yet none polled")
    return Link(
        name,
        "broken",
        f"the threads slept {slept} times in {waits} waits: there is always something ready, which is a good sign",
        "Nothing to do: a server that never waits needs no polling.",
    )


def _softirq(own: Sequence[Napi], sets: Sequence[PollSet], attempted: bool, share: float | None, prefers: bool) -> Link:
    name = "the softirq leaves the packets to the poller"
    if not attempted or share is None:
        return Link(name, "not needed", "there was no busy polling")
    settings = ", ".join(
        f"{napi.name}: napi_defer_hard_irqs {napi.defer_hard_irqs}, gro_flush_timeout "
        f"{napi.gro_flush_timeout_ns} ns" for napi in own[:_SHOWN]
    )  # fmt: skip
    prefer = prefers or any(here.prefer for here in sets)
    evidence = (
        f"busy polling took {share:.1f} % of the packets; {settings}; prefer busy poll {'on' if prefer else 'off'}"
    )
    if share >= GOOD_SHARE_PCT:
        return Link(name, "ok", evidence)
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
        steps.append("lengthen the polling time or gro_flush_timeout: packets arrive when nobody polls")
    return Link(name, "broken", evidence, "; ".join(steps) + ".")


# ---- Verdict ----


def _verdict(
    rows: Sequence[PollRow], own: Sequence[Napi], links: Sequence[Link], share: float | None
) -> tuple[Literal["good", "softirq first", "none", "mixed", "inconclusive"], str]:
    attempts, hits = sum(row.attempts for row in rows), sum(row.hits for row in rows)
    broken = [link for link in links if link.state == "broken"]
    mixed = any(link.name.startswith("each epoll set") for link in broken)
    if attempts and share is not None:
        counts = f"{attempts} attempts, {hits} hits ({100 * hits / attempts:.1f} %), {share:.1f} % of the packets"
        if mixed and share < GOOD_SHARE_PCT:
            return "mixed", f"Busy polling is held back, because epoll sets mix NAPI ids: {counts}."
        if share >= GOOD_SHARE_PCT:
            return "good", f"Busy polling works: {counts}."
        return "softirq first", f"Busy polling is tried, but the softirq gets there first: {counts}."
    reasons = [link for link in broken if link.name != "waits find nothing ready"]
    if reasons:
        words = "; ".join(link.evidence for link in reasons)
        return "none", f"No busy polling: {words}."
    if broken:
        return "none", f"No busy polling, and none needed: {broken[0].evidence}."
    unknown = [link for link in links if link.state == "unknown"]
    why = "; ".join(f"{link.name}: {link.evidence}" for link in unknown) or "no poll was seen"
    return "inconclusive", f"Inconclusive why there is no busy polling: {why}."
