"""Is a packet handled on one CPU from receive queue to application? Groups evaluated, matrices added up, one verdict."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from netprobe.analysis.classic_bpf import describe, index_by_cpu
from netprobe.analysis.cpus import parse_cpu_list
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]
Judgement = Literal["right", "wrong", "not pinned", "unsteered", "idle", "inconclusive"]

# From here on locality counts as perfect: what is left are connections that are just being set up, or moved.
PERFECT_PCT = 99.0
_FEWEST_MESSAGES = 100
_LOOPED = "the clients run on this host, where the CPU that receives is the client's own"
# Steering of an imported listing, which does not tell it.
_NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Server:
    """A thread that serves a member; `ran_on` counts its messages by the CPU on which it read them."""

    pid: int
    tid: int
    process: str
    thread: str
    how: str
    cpus_allowed: tuple[int, ...]
    last_cpu: int
    ran_on: Counter[int]


@dataclass(frozen=True)
class Member:
    """A socket of a group, who serves it, and whether that is where its packets arrive."""

    index: int | None
    owners: str
    servers: tuple[Server, ...]
    # CPUs whose packets come to this index; None = cannot be told, or all by hash.
    steered_cpus: tuple[int, ...] | None
    result: Judgement
    words: str
    joined_s: float | None
    joined_by: str
    joined_cpu: int | None


@dataclass(frozen=True)
class Group:
    """A reuseport group. `steering` in words; `index_by_cpu` where the steering goes by CPU."""

    protocol: str
    address: str
    port: int
    dual_stack: bool
    size: int
    kind: str
    steering: str
    index_by_cpu: Mapping[int, int] | None
    changed: bool
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """127.0.0.1:8080 or [::]:8080; words where an imported listing does not say."""
        if not self.port:
            return "the listed group"
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


@dataclass
class Matrix:
    """Messages by (receiving CPU, reading CPU). Receiving CPU -1: no packet had been processed yet.

    `same_host`: how many of them came from clients on this host; None where that was not recorded.
    """

    cells: Counter[tuple[int, int]] = field(default_factory=Counter)
    same_host: int | None = None

    def add(self, other: Matrix) -> None:
        """Count the other's messages too."""
        self.cells.update(other.cells)
        if other.same_host is not None:
            self.same_host = (self.same_host or 0) + other.same_host

    @property
    def from_this_host(self) -> bool:
        """Whether most messages are known to come from clients on this host, over loopback."""
        return 2 * (self.same_host or 0) > self.cells.total()

    @property
    def total(self) -> int:
        """All messages whose receiving CPU is known."""
        return sum(count for (received, _), count in self.cells.items() if received >= 0)

    @property
    def local(self) -> int:
        """Messages read on the CPU that received them."""
        return sum(count for (received, read), count in self.cells.items() if received == read)

    @property
    def local_pct(self) -> float | None:
        """Locality in percent, None without messages."""
        return 100 * self.local / self.total if self.total else None


@dataclass(frozen=True)
class ThreadMatrix:
    """A thread's part of the matrix."""

    pid: int
    tid: int
    process: str
    thread: str
    matrix: Matrix


@dataclass(frozen=True)
class TxMatrix:
    """Packets of one device by (sending CPU, TX queue)."""

    device: str
    queues: int
    cells: Counter[tuple[int, int]]


@dataclass(frozen=True)
class Verdict:
    """perfect, broken (why) or inconclusive (why)."""

    kind: Literal["perfect", "broken", "inconclusive"]
    reasons: tuple[str, ...]
    local_pct: float | None
    messages: int

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        reasons = "; ".join(self.reasons)
        measured = ""
        if self.local_pct is not None:
            measured = f"{self.local_pct:.1f} % of {self.messages} messages were read on the CPU that received them."
        if self.kind == "perfect":
            return f"Locality is perfect: {measured}"
        begins = "Locality is broken" if self.kind == "broken" else "Inconclusive"
        return f"{begins}: {reasons}. {measured}".rstrip()


# ---- Matrices ----


def thread_matrices(tables: Tables) -> list[ThreadMatrix]:
    """One a thread, most messages first."""
    found: dict[tuple[int, int], ThreadMatrix] = {}
    known = ("same_host",) if "messages" in tables and "same_host" in tables["messages"].columns else ()
    for pid, tid, process, thread, received, read, count, *same_host in thread_rows(
        tables, "messages", "rx_cpu", "cpu", "messages", *known
    ):
        here = found.setdefault((pid, tid), ThreadMatrix(pid, tid, process, thread, Matrix()))
        here.matrix.add(Matrix(Counter({(received, read): count}), *same_host))
    return sorted(found.values(), key=lambda here: -here.matrix.total)


def whole_matrix(threads: Sequence[ThreadMatrix]) -> Matrix:
    """All threads together."""
    whole = Matrix()
    for thread in threads:
        whole.add(thread.matrix)
    return whole


def tx_matrices(tables: Tables) -> list[TxMatrix]:
    """One a device with more than one TX queue."""
    found: dict[str, TxMatrix] = {}
    for *_, device, queues, queue, cpu, packets in thread_rows(
        tables, "sent_packets", "device", "tx_queues", "tx_queue", "cpu", "packets"
    ):
        found.setdefault(device, TxMatrix(device, queues, Counter())).cells[cpu, queue] += packets
    return list(found.values())


# ---- Groups ----


def groups(tables: Tables, cpus_online: str, threads: Sequence[ThreadMatrix]) -> list[Group]:
    """All groups with their members evaluated."""
    cpus = parse_cpu_list(cpus_online)
    ran_on = {(here.pid, here.tid): _reading_cpus(here.matrix) for here in threads}
    rows = _member_rows(tables)
    found = []
    for number, protocol, address, port, dual_stack, size, kind, program, cut, name, changed in tables[
        "reuseport_groups"
    ].rows(
        "group", "protocol", "address", "port", "dual_stack", "size", "steering", "program", "program_omitted",
        "program_name", "changed_while_recording",
    ):  # fmt: skip
        by_cpu, words = _steering(kind, json.loads(program), cut, name, cpus, size)
        if kind == _NOT_KNOWN:
            by_cpu = _by_order(rows.get(number, {}).values())
            cpus = list(by_cpu or ())
        members = tuple(_member(members, kind, by_cpu, size, cpus, ran_on) for members in rows.get(number, {}).values())
        found.append(Group(protocol, address, port, dual_stack, size, kind, words, by_cpu, changed, members))
    return found


def _reading_cpus(matrix: Matrix) -> Counter[int]:
    cpus: Counter[int] = Counter()
    for (_, read), count in matrix.cells.items():
        cpus[read] += count
    return cpus


_MEMBER_COLUMNS = (
    "group", "index", "inode", "incoming_cpu", "owner_pids", "pid", "tid", "process", "thread", "how",
    "cpus_allowed", "last_cpu", "joined_s", "joined_tid", "joined_thread", "joined_cpu",
)  # fmt: skip


def _member_rows(tables: Tables) -> dict[int, dict[int, list[dict[str, object]]]]:
    """Rows by group and socket: a member has one for each thread that serves it."""
    found: dict[int, dict[int, list[dict[str, object]]]] = {}
    for values in tables["reuseport_members"].rows(*_MEMBER_COLUMNS):
        row = dict(zip(_MEMBER_COLUMNS, values, strict=True))
        found.setdefault(row["group"], {}).setdefault(row["inode"], []).append(row)
    return found


def _steering(
    kind: str, program: Sequence[tuple[int, int, int, int]], cut: int, name: str, cpus: Sequence[int], size: int
) -> tuple[dict[int, int] | None, str]:
    if kind == "cbpf" and not cut:
        return index_by_cpu(program, cpus), f"cBPF program: {describe(program, cpus, size)}"
    if kind == "cbpf":
        return None, f"cBPF program: something else ({len(program) + cut} instructions)"
    if kind == "ebpf":
        return None, f"eBPF program{f' {name}' if name else ''}: which index it returns cannot be told from outside"
    if kind == "incoming-cpu":
        return None, "SO_INCOMING_CPU of the listeners"
    if kind == _NOT_KNOWN:
        return None, "not in the listing; taken for a program that gives each CPU's packets to the listener of its rank"
    return None, "none: the kernel's hash of addresses and ports"


def _by_order(members: Collection[Sequence[Mapping[str, object]]]) -> dict[int, int] | None:
    """The CPUs of a listing in ascending order, each with its index.

    None unless each listener has another CPU, and none is missing: ranks of a part are not those of the whole.
    """
    cpus = sorted({int(str(row["last_cpu"])) for rows in members for row in rows})
    indexes = [int(str(rows[0]["index"])) for rows in members]
    complete = is_complete(indexes) and len(cpus) == len(indexes)
    return dict(zip(cpus, sorted(indexes), strict=True)) if complete else None


def is_complete(indexes: Collection[int]) -> bool:
    """Whether these are the indexes of a whole group: 0 to n-1, each once."""
    return sorted(indexes) == list(range(len(indexes)))


def _member(
    rows: Sequence[Mapping[str, object]],
    kind: str,
    by_cpu: Mapping[int, int] | None,
    size: int,
    cpus: Sequence[int],
    ran_on: Mapping[tuple[int, int], Counter[int]],
) -> Member:
    first = rows[0]
    index = int(str(first["index"]))
    servers = tuple(_server(row, ran_on) for row in rows if row["tid"] != -1)
    steered: tuple[int, ...] | None = None
    if by_cpu is not None and index >= 0:
        steered = tuple(cpu for cpu in cpus if by_cpu[cpu] == index)
    elif kind == "incoming-cpu" and int(str(first["incoming_cpu"])) >= 0:
        steered = (int(str(first["incoming_cpu"])),)
    result, words = _judge(steered, servers, kind)
    joined = float(str(first["joined_s"]))
    known = not math.isnan(joined)  # NaN where it was not seen
    return Member(
        index if index >= 0 else None,
        str(first["owner_pids"]),
        servers,
        steered,
        result,
        words,
        joined if known else None,
        str(first["joined_thread"]) if known else "",
        int(str(first["joined_cpu"])) if known else None,
    )


def _server(row: Mapping[str, object], ran_on: Mapping[tuple[int, int], Counter[int]]) -> Server:
    pid, tid = int(str(row["pid"])), int(str(row["tid"]))
    return Server(
        pid,
        tid,
        str(row["process"]),
        str(row["thread"]),
        str(row["how"]),
        tuple(parse_cpu_list(str(row["cpus_allowed"]))),
        int(str(row["last_cpu"])),
        ran_on.get((pid, tid), Counter()),
    )


def _judge(steered: tuple[int, ...] | None, servers: Sequence[Server], kind: str) -> tuple[Judgement, str]:
    if kind == "none":
        return "unsteered", "gets any CPU's packets"
    if steered is None:
        return "inconclusive", "which CPU's packets come here is not known"
    if not steered:
        return "idle", "no CPU's packets come here"
    packets = f"CPU {_cpus(steered)}'s packets"
    if not servers:
        return "inconclusive", f"{packets}; no thread was seen waiting on it"
    if any(not server.cpus_allowed for server in servers):
        return "inconclusive", f"{packets}; where its thread may run is not known"
    elsewhere = [server for server in servers if not set(server.cpus_allowed) <= set(steered)]
    for server in elsewhere:
        if len(server.cpus_allowed) <= len(steered):
            return "wrong", f"{packets}; {server.thread} runs on {_cpus(server.cpus_allowed)}"
    for server in elsewhere:
        return "not pinned", f"{packets}; {server.thread} may run on {_cpus(server.cpus_allowed)}"
    return "right", ""


def _cpus(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus[:8])) + (" …" if len(cpus) > 8 else "")


# ---- Verdict ----


def verdict(found: Sequence[Group], matrix: Matrix) -> Verdict:
    """What it all means. A group that is wrong is wrong also while no message has shown it."""
    reasons = [reason for group in found for reason in _group_reasons(group)]
    percent, total = matrix.local_pct, matrix.total
    enough = total >= _FEWEST_MESSAGES
    wrong = any(member.result in ("wrong", "not pinned") for group in found for member in group.members)
    if percent is not None and enough and percent >= PERFECT_PCT and not wrong:
        return Verdict("perfect", (), percent, total)
    if not wrong and enough and matrix.from_this_host and all(group.size == 1 for group in found):
        return Verdict("inconclusive", (_LOOPED,), percent, total)
    if wrong or (percent is not None and enough):
        return Verdict("broken", tuple(reasons) or (_elsewhere(found),), percent, total)
    why = "no TCP message was read" if not total else f"only {total} messages were read"
    return Verdict("inconclusive", (why, *reasons), percent, total)


def _group_reasons(group: Group) -> list[str]:
    if group.kind == "none" and group.size == 1:
        return [f"{group.name} has 1 listener: whoever serves it gets any CPU's packets"]
    if group.kind == "none":
        return [f"{group.name} has {_listeners(group)} and no steering, so any of them gets any CPU's packets"]
    reasons = []
    wrong = [member for member in group.members if member.result == "wrong"]
    if wrong:
        reasons.append(f"the listeners of {group.name} are in the wrong order: {order(group)}")
    loose = sorted({server.thread for member in group.members if member.result == "not pinned"
                    for server in member.servers})  # fmt: skip
    if loose:
        reasons.append(f"{', '.join(loose)} of {group.name} {'is' if len(loose) == 1 else 'are'} not pinned to a CPU")
    if group.index_by_cpu is not None:
        beyond = [cpu for cpu, index in group.index_by_cpu.items() if index >= group.size]
        if beyond:
            reasons.append(
                f"{group.name} has {_listeners(group)}: the packets of CPU {_cpus(beyond)} have no listener of "
                "their own and are spread by hash"
            )
    return reasons


def _listeners(group: Group) -> str:
    return f"{group.size} listener{'' if group.size == 1 else 's'}"


def order(group: Group) -> str:
    """Index by index, the CPU of the thread that serves it: the author's line `cpu=2, socket 1`."""
    parts = []
    for member in group.members:
        cpus = sorted({cpu for server in member.servers for cpu in server.cpus_allowed})
        parts.append(_cpus(cpus) if len(cpus) == 1 else "?")
    shown = ", ".join(parts[:16]) + (" …" if len(parts) > 16 else "")
    return f"index 0, 1, … is served on CPU {shown}"


def _elsewhere(found: Sequence[Group]) -> str:
    steered = [group for group in found if group.kind != "none"]
    if not steered:
        return "there is no reuseport group that ties connections to CPUs"
    if shared := [group for group in steered if any(len(one.steered_cpus or ()) > 1 for one in group.members)]:
        return f"one listener of {shared[0].name} gets the packets of several CPUs: it has fewer listeners than CPUs"
    if unknown := [group for group in steered if any(one.result == "inconclusive" for one in group.members)]:
        why = next(one.words for one in unknown[0].members if one.result == "inconclusive")
        return f"whether listeners and threads of {unknown[0].name} match cannot be told ({why})"
    return (
        "listeners and threads match, but packets of a connection arrive on other CPUs than its first one did "
        "(RPS, receive queues and interrupts, or, on loopback, a client that moves between CPUs)"
    )
