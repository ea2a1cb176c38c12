"""CPU locality from receive queue to application: reuseport groups, message matrices, and a verdict."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from netprobe.analysis.classic_bpf import describe, index_by_cpu
from netprobe.run.table import Table, thread_rows

Tables = Mapping[str, Table]
MemberResult = Literal["right", "wrong", "not pinned", "unsteered", "idle", "inconclusive"]

# Locality is perfect from this share on: the first messages of a connection and migrations account for the rest.
PERFECT_PCT = 99.0
_MIN_MESSAGES = 100
UNPINNED_CLIENTS = (
    "the clients run on this host and are not pinned, so the receiving CPU is that of the client: pin the client, or "
    "measure from another host"
)
_LOOPBACK = "the clients run on this host, so the receiving CPU is that of the client"
# Steering of an imported listing, which does not contain it.
_NOT_KNOWN = "not known"


@dataclass(frozen=True)
class ServedBy:
    """A thread that serves a group member. `ran_on` counts its messages by the CPU on which it read them."""

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
    """A socket of a reuseport group, its serving threads, and whether they run where its packets arrive."""

    index: int | None
    owners: str
    servers: tuple[ServedBy, ...]
    # CPUs whose packets are steered to this index; None = not known, or steered by hash.
    steered_cpus: tuple[int, ...] | None
    result: MemberResult
    reason: str
    joined_s: float | None
    joined_by: str
    joined_cpu: int | None


@dataclass(frozen=True)
class Group:
    """A reuseport group. `steering` describes `kind` as text; `index_by_cpu`: None unless steering is by CPU."""

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
        """127.0.0.1:8080 or [::]:8080; `the listed group` if an imported listing has no address."""
        if not self.port:
            return "the listed group"
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


@dataclass
class Matrix:
    """Messages by (receiving CPU, reading CPU). Receiving CPU -1: no packet of the connection was processed before.

    `same_host`: number of messages from clients on this host; None if it was not recorded.
    """

    cells: Counter[tuple[int, int]] = field(default_factory=Counter)
    same_host: int | None = None

    def add(self, other: Matrix) -> None:
        """Add the messages of another matrix."""
        self.cells.update(other.cells)
        if other.same_host is not None:
            self.same_host = (self.same_host or 0) + other.same_host

    @property
    def from_this_host(self) -> bool:
        """Whether most messages are known to come from clients on this host, over loopback."""
        return 2 * (self.same_host or 0) > self.cells.total()

    @property
    def total(self) -> int:
        """Messages with a known receiving CPU."""
        return sum(count for (received, _), count in self.cells.items() if received >= 0)

    @property
    def local(self) -> int:
        """Messages read on the receiving CPU."""
        return sum(count for (received, read), count in self.cells.items() if received == read)

    @property
    def local_pct(self) -> float | None:
        """Locality in percent, None without messages."""
        return 100 * self.local / self.total if self.total else None


@dataclass(frozen=True)
class ThreadMatrix:
    """The matrix of one thread."""

    pid: int
    tid: int
    process: str
    thread: str
    matrix: Matrix


@dataclass(frozen=True)
class TxMatrix:
    """Packets of one device by (sending CPU, transmit queue)."""

    device: str
    queues: int
    cells: Counter[tuple[int, int]]


@dataclass(frozen=True)
class LocalityVerdict:
    """The verdict, with the reasons if locality is broken or the verdict is inconclusive."""

    kind: Literal["perfect", "broken", "inconclusive"]
    reasons: tuple[str, ...]
    local_pct: float | None
    messages: int

    @property
    def sentence(self) -> str:
        """Verdict, reasons and measurement as text."""
        reasons = "; ".join(self.reasons)
        measured = ""
        if self.local_pct is not None:
            measured = f"{self.local_pct:.1f} % of {self.messages} messages were read on the CPU that received them."
        if self.kind == "perfect":
            return f"Locality is perfect: {measured}"
        kind = "broken" if self.kind == "broken" else "inconclusive"
        return f"Locality is {kind}: {reasons}. {measured}".rstrip()


def parse_cpu_list(text: str) -> list[int]:
    """`0-3,8` as [0, 1, 2, 3, 8]; an empty text as []. Raises `ValueError` for other texts."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ValueError(f"the range {part} ends before it begins")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


# ---- Matrices ----


def thread_matrices(tables: Tables) -> list[ThreadMatrix]:
    """One matrix per thread, by descending number of messages."""
    found: dict[tuple[int, int], ThreadMatrix] = {}
    optional = ("same_host",) if "messages" in tables and "same_host" in tables["messages"].columns else ()
    for pid, tid, process, thread, received, read, count, *same_host in thread_rows(
        tables, "messages", "rx_cpu", "cpu", "messages", *optional
    ):
        of_thread = found.setdefault((pid, tid), ThreadMatrix(pid, tid, process, thread, Matrix()))
        of_thread.matrix.add(Matrix(Counter({(received, read): count}), *same_host))
    return sorted(found.values(), key=lambda of_thread: -of_thread.matrix.total)


def whole_matrix(threads: Sequence[ThreadMatrix]) -> Matrix:
    """The sum of all threads."""
    whole = Matrix()
    for thread in threads:
        whole.add(thread.matrix)
    return whole


def tx_matrices(tables: Tables) -> list[TxMatrix]:
    """One matrix per device with several transmit queues."""
    found: dict[str, TxMatrix] = {}
    for *_, device, queues, queue, cpu, packets in thread_rows(
        tables, "sent_packets", "device", "tx_queues", "tx_queue", "cpu", "packets"
    ):
        found.setdefault(device, TxMatrix(device, queues, Counter())).cells[cpu, queue] += packets
    return list(found.values())


# ---- Groups ----


def groups(tables: Tables, cpus_online: str, threads: Sequence[ThreadMatrix]) -> list[Group]:
    """All groups with evaluated members."""
    cpus = parse_cpu_list(cpus_online)
    ran_on = {(thread.pid, thread.tid): _reading_cpus(thread.matrix) for thread in threads}
    rows = _member_rows(tables)
    found = []
    for number, protocol, address, port, dual_stack, size, kind, program, cut, name, changed in tables[
        "reuseport_groups"
    ].rows(
        "group", "protocol", "address", "port", "dual_stack", "size", "steering", "program", "program_omitted",
        "program_name", "changed_while_recording",
    ):  # fmt: skip
        by_cpu, steering = _steering(kind, json.loads(program), cut, name, cpus, size)
        if kind == _NOT_KNOWN:
            by_cpu = _by_order(rows.get(number, {}).values())
            cpus = list(by_cpu or ())
        members = tuple(_member(members, kind, by_cpu, size, cpus, ran_on) for members in rows.get(number, {}).values())
        found.append(Group(protocol, address, port, dual_stack, size, kind, steering, by_cpu, changed, members))
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
    """Rows by group and socket. A member has one row for each serving thread."""
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
        return None, f"cBPF program: not decoded ({len(program) + cut} instructions)"
    if kind == "ebpf":
        return None, f"eBPF program{f' {name}' if name else ''}: the returned index is not known"
    if kind == "incoming-cpu":
        return None, "SO_INCOMING_CPU of the listeners"
    if kind == _NOT_KNOWN:
        return (
            None,
            "not in the listing; assumed: packets of each CPU are steered to the listener of the same rank",
        )
    return None, "none: the kernel's hash of addresses and ports"


def _by_order(members: Collection[Sequence[Mapping[str, object]]]) -> dict[int, int] | None:
    """The index of each CPU of a listing, assuming that both are in the same order.

    None unless each listener has a different CPU and none is missing: with a missing listener the ranks are shifted.
    """
    cpus = sorted({int(str(row["last_cpu"])) for rows in members for row in rows})
    indexes = [int(str(rows[0]["index"])) for rows in members]
    complete = is_complete(indexes) and len(cpus) == len(indexes)
    return dict(zip(cpus, sorted(indexes), strict=True)) if complete else None


def is_complete(indexes: Collection[int]) -> bool:
    """Whether these are the indexes of a complete group: 0 to n-1, each once."""
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
    result, reason = _member_result(steered, servers, kind)
    joined = float(str(first["joined_s"]))
    known = not math.isnan(joined)  # NaN: the listen() call was before the recording
    return Member(
        index if index >= 0 else None,
        str(first["owner_pids"]),
        servers,
        steered,
        result,
        reason,
        joined if known else None,
        str(first["joined_thread"]) if known else "",
        int(str(first["joined_cpu"])) if known else None,
    )


def _server(row: Mapping[str, object], ran_on: Mapping[tuple[int, int], Counter[int]]) -> ServedBy:
    pid, tid = int(str(row["pid"])), int(str(row["tid"]))
    return ServedBy(
        pid,
        tid,
        str(row["process"]),
        str(row["thread"]),
        str(row["how"]),
        tuple(parse_cpu_list(str(row["cpus_allowed"]))),
        int(str(row["last_cpu"])),
        ran_on.get((pid, tid), Counter()),
    )


def _member_result(steered: tuple[int, ...] | None, servers: Sequence[ServedBy], kind: str) -> tuple[MemberResult, str]:
    if kind == "none":
        return "unsteered", "packets of any CPU"
    if steered is None:
        return "inconclusive", "the CPUs of its packets are not known"
    if not steered:
        return "idle", "no packets of any CPU"
    packets = f"packets of CPU {_cpus(steered)}"
    if not servers:
        return "inconclusive", f"{packets}; no thread was seen waiting on the socket"
    if any(not server.cpus_allowed for server in servers):
        return "inconclusive", f"{packets}; the affinity of its thread is not known"
    elsewhere = [server for server in servers if not set(server.cpus_allowed) <= set(steered)]
    for server in elsewhere:
        if len(server.cpus_allowed) <= len(steered):
            return "wrong", f"{packets}; {server.thread} runs on CPU {_cpus(server.cpus_allowed)}"
    for server in elsewhere:
        return "not pinned", f"{packets}; {server.thread} may run on CPU {_cpus(server.cpus_allowed)}"
    return "right", ""


def _cpus(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus[:8])) + (" …" if len(cpus) > 8 else "")


# ---- Verdict ----


def verdict(found: Sequence[Group], matrix: Matrix, unpinned_clients: bool) -> LocalityVerdict:
    """The verdict on groups and messages. A group in the wrong order is broken even without remote messages.

    `unpinned_clients`: most messages come from clients on this host, which the scheduler moves between CPUs.
    """
    reasons = [reason for group in found for reason in _group_reasons(group)]
    percent, total = matrix.local_pct, matrix.total
    enough = total >= _MIN_MESSAGES
    wrong = any(member.result in ("wrong", "not pinned") for group in found for member in group.members)
    if percent is not None and enough and percent >= PERFECT_PCT and not wrong:
        return LocalityVerdict("perfect", (), percent, total)
    if not wrong and enough and unpinned_clients:
        return LocalityVerdict("inconclusive", (UNPINNED_CLIENTS,), percent, total)
    if not wrong and enough and matrix.from_this_host and all(group.size == 1 for group in found):
        return LocalityVerdict("inconclusive", (_LOOPBACK,), percent, total)
    if wrong or (percent is not None and enough):
        return LocalityVerdict("broken", tuple(reasons) or (_other_reason(found),), percent, total)
    few = "no TCP message was read" if not total else f"only {total} messages were read"
    return LocalityVerdict("inconclusive", (few, *reasons), percent, total)


def _group_reasons(group: Group) -> list[str]:
    if group.kind == "none" and group.size == 1:
        return [f"{group.name} has 1 listener, which receives the packets of every CPU"]
    if group.kind == "none":
        return [f"{group.name} has {_listeners(group)} and no steering, so each receives packets of any CPU"]
    reasons = []
    if any(member.result == "wrong" for member in group.members):
        reasons.append(f"the listeners of {group.name} are in the wrong order: {order(group)}")
    unpinned = sorted({server.thread for member in group.members if member.result == "not pinned"
                       for server in member.servers})  # fmt: skip
    if unpinned:
        verb = "is" if len(unpinned) == 1 else "are"
        reasons.append(f"{', '.join(unpinned)} of {group.name} {verb} not pinned to a CPU")
    if group.index_by_cpu is not None:
        beyond = [cpu for cpu, index in group.index_by_cpu.items() if index >= group.size]
        if beyond:
            reasons.append(
                f"{group.name} has {_listeners(group)}: the packets of CPU {_cpus(beyond)} have no listener and are "
                "distributed by hash"
            )
    return reasons


def _listeners(group: Group) -> str:
    return f"{group.size} listener{'' if group.size == 1 else 's'}"


def order(group: Group) -> str:
    """The CPU of the serving thread, index by index."""
    cpus_by_index = []
    for member in group.members:
        cpus = sorted({cpu for server in member.servers for cpu in server.cpus_allowed})
        cpus_by_index.append(_cpus(cpus) if len(cpus) == 1 else "?")
    shown = ", ".join(cpus_by_index[:16]) + (" …" if len(cpus_by_index) > 16 else "")
    return f"indexes 0, 1, … are served on CPU {shown}"


def _other_reason(found: Sequence[Group]) -> str:
    steered = [group for group in found if group.kind != "none"]
    if not steered:
        return "no reuseport group steers connections to CPUs"
    shared = [group for group in steered if any(len(member.steered_cpus or ()) > 1 for member in group.members)]
    if shared:
        return (
            f"a listener of {shared[0].name} receives the packets of several CPUs: there are fewer listeners than CPUs"
        )
    unknown = [group for group in steered if any(member.result == "inconclusive" for member in group.members)]
    if unknown:
        reason = next(member.reason for member in unknown[0].members if member.result == "inconclusive")
        return f"whether listeners and threads of {unknown[0].name} match is inconclusive ({reason})"
    return (
        "listeners and threads match, but packets of a connection arrive on a CPU other than that of its first packet "
        "(RPS, receive queues and interrupts or, over loopback, a client that migrates between CPUs)"
    )
