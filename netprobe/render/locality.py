"""Reuseport groups, locality matrices and the verdict, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from netprobe.analysis.locality import Group, LocalityVerdict, Matrix, Member, ServedBy, ThreadMatrix, TxMatrix
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import percent
from netprobe.run.model import Run

_SHOWN_CPUS = 16
_RESULTS = {
    "right": "right",
    "wrong": "WRONG",
    "not pinned": "NOT PINNED",
    "unsteered": "unsteered",
    "idle": "idle",
    "inconclusive": "inconclusive",
}
# Order of members if not all are shown.
_WORST_FIRST = ("wrong", "not pinned", "inconclusive", "unsteered", "right", "idle")
_STYLES = {"right": "green", "wrong": "bold red", "not pinned": "bold red", "unsteered": "yellow"}


def group_heading(group: Group) -> str:
    """One line above the members of a group."""
    kind = f"{group.protocol.upper()} {group.name}" + (
        " (IPv4 and IPv6)" if ":" in group.address and group.dual_stack else ""
    )
    changed = "; the group changed while recording" if group.changed else ""
    return f"{kind}: {group.size} listener{'' if group.size == 1 else 's'}, steering: {group.steering}{changed}"


def how_seen(groups: Sequence[Group], run: Run) -> str:
    """One line on the mechanisms by which the groups, and the order in which members joined, were read."""
    mechanisms = ", ".join(f"{chain}: {mechanism}" for chain, mechanism in run.info.attach_mechanisms.items())
    return f"(groups read by BPF iterator; {mechanisms})" if groups else ""


def members_as_text(group: Group, top: int) -> TextTable:
    """One line per member and serving thread; the worst first if not all are shown."""
    order_seen = any(member.joined_s is not None for member in group.members)
    columns = [
        TextColumn("INDEX", True),
        TextColumn("RX CPU"),
        TextColumn("SERVED BY"),
        TextColumn("PID", True),
        TextColumn("TID", True),
        TextColumn("MAY RUN ON"),
        TextColumn("RAN ON"),
        *([TextColumn("JOINED AT", True), TextColumn("BY")] if order_seen else []),
        TextColumn("VERDICT"),
    ]
    rows: list[list[str]] = []
    styles: dict[int, str] = {}
    for member in _shown(group.members, top):
        for server in member.servers or (None,):
            styles[len(rows)] = _STYLES.get(member.result, "")
            rows.append(_member_cells(group, member, server, order_seen))
    return TextTable(columns, rows, styles=styles)


def _shown(members: Sequence[Member], top: int) -> Sequence[Member]:
    if not top or len(members) <= top:
        return members
    return sorted(members, key=lambda member: _WORST_FIRST.index(member.result))[:top]


def rest(group: Group, top: int) -> str:
    """A line on the members beyond `top`, empty if there are none."""
    hidden = len(group.members) - top if top else 0
    if hidden <= 0:
        return ""
    evaluated = Counter(member.result for member in group.members)
    results = ", ".join(f"{count} {_RESULTS[name]}" for name, count in evaluated.most_common())
    return f"… {hidden} more listeners; of all: {results}; -T 0 shows all"


def _member_cells(group: Group, member: Member, server: ServedBy | None, order_seen: bool) -> list[str]:
    verdict = _RESULTS[member.result] + (f": {member.reason}" if member.reason else "")
    cells = [
        "?" if member.index is None else str(member.index),
        _steered(group, member),
        server.thread if server else f"(owned by {member.owners or 'unknown'})",
        str(server.pid) if server else "-",
        str(server.tid) if server else "-",
        _cpu_list(server.cpus_allowed) if server else "-",
        _ran_on(server) if server else "-",
    ]
    if order_seen:
        cells += [
            "-" if member.joined_s is None else f"{1000 * member.joined_s:+.3f} ms",
            member.joined_by + (f" on CPU {member.joined_cpu}" if member.joined_cpu is not None else ""),
        ]
    return [*cells, verdict]


def _steered(group: Group, member: Member) -> str:
    if group.kind == "none":
        return "any"
    if member.steered_cpus is None:
        return "?"
    return _cpu_list(member.steered_cpus) or "none"


def _ran_on(server: ServedBy) -> str:
    total = server.ran_on.total()
    if not total:
        return f"{server.last_cpu} (last)" if server.last_cpu >= 0 else "-"
    if len(server.ran_on) == 1:
        return str(next(iter(server.ran_on)))
    return ", ".join(f"{cpu} ({percent(count, total)} %)" for cpu, count in server.ran_on.most_common(3))


def _cpu_list(cpus: Sequence[int]) -> str:
    if len(cpus) > 2 and list(cpus) == list(range(cpus[0], cpus[-1] + 1)):
        return f"{cpus[0]}-{cpus[-1]}"
    return ",".join(map(str, cpus))


def matrix_as_text(matrix: Matrix, every: bool = False) -> TextTable:
    """Messages by receiving CPU (rows) and reading CPU (columns), the diagonal marked; `every`: all CPUs."""
    received, read = _shown_of(matrix, every)
    rows = []
    cell_styles = {}
    for line, row in enumerate(received):
        cells = ["before the first packet" if row < 0 else f"received on CPU {row}"]
        for column in read:
            count = matrix.cells[row, column]
            cell_styles[line, len(cells)] = "" if not count else "bold green" if row == column else "red"
            cells.append(str(count) if count else "·")
        rows.append(cells)
    columns = [TextColumn("MESSAGES"), *(TextColumn(f"read on CPU {cpu}", True) for cpu in read)]
    return TextTable(columns, rows, cell_styles=cell_styles)


def _shown_of(matrix: Matrix | TxMatrix, every: bool) -> tuple[list[int], list[int]]:
    most = None if every else _SHOWN_CPUS
    return sorted({row for row, _ in matrix.cells})[:most], sorted({column for _, column in matrix.cells})[:most]


def matrix_rest(matrix: Matrix | TxMatrix, every: bool = False) -> str:
    """A line on the rows and columns that a matrix does not show, empty if it shows all."""
    rows, columns = _shown_of(matrix, every)
    all_rows, all_columns = _shown_of(matrix, True)
    if len(rows) == len(all_rows) and len(columns) == len(all_columns):
        return ""
    hidden = sum(count for (row, column), count in matrix.cells.items() if row not in rows or column not in columns)
    share = percent(hidden, sum(matrix.cells.values()))
    parts = [
        f"{len(known) - len(shown)} more {name}"
        for shown, known, name in ((rows, all_rows, "rows"), (columns, all_columns, "columns"))
        if len(known) > len(shown)
    ]
    return f"… {' and '.join(parts)} ({share} % of the count); -T 0 shows all"


def threads_rest(threads: Sequence[ThreadMatrix], top: int) -> str:
    """A line on the threads beyond `top`, empty if there are none."""
    hidden = threads[top or len(threads) :]
    if not hidden:
        return ""
    share = percent(sum(thread.matrix.total for thread in hidden), sum(thread.matrix.total for thread in threads))
    return f"… {len(hidden)} more thread{'' if len(hidden) == 1 else 's'} ({share} % of the messages); -T 0 shows all"


def threads_as_text(threads: Sequence[ThreadMatrix], top: int) -> TextTable:
    """Locality by thread."""
    columns = [
        TextColumn("PID", True), TextColumn("TID", True), TextColumn("THREAD"), TextColumn("MESSAGES", True),
        TextColumn("LOCAL %", True), TextColumn("RECEIVED ON"), TextColumn("READ ON"),
    ]  # fmt: skip
    rows = [
        [
            str(thread.pid or "-"),
            str(thread.tid or "-"),
            thread.thread,
            str(thread.matrix.total),
            percent(thread.matrix.local, thread.matrix.total),
            _spread(thread.matrix, 0),
            _spread(thread.matrix, 1),
        ]
        for thread in threads[: top or None]
    ]
    return TextTable(columns, rows)


def _spread(matrix: Matrix, side: int) -> str:
    cpus: Counter[int] = Counter()
    for cell, count in matrix.cells.items():
        if cell[0] >= 0:
            cpus[cell[side]] += count
    total = cpus.total()
    return ", ".join(f"{cpu} ({percent(count, total)} %)" for cpu, count in cpus.most_common(3))


def tx_as_text(matrix: TxMatrix, every: bool = False) -> TextTable:
    """Packets by sending CPU (rows) and TX queue (columns); `every`: all CPUs and queues."""
    cpus, queues = _shown_of(matrix, every)
    rows = [[f"sent on CPU {cpu}", *(str(matrix.cells[cpu, queue] or "·") for queue in queues)] for cpu in cpus]
    return TextTable([TextColumn("PACKETS"), *(TextColumn(f"TX queue {queue}", True) for queue in queues)], rows)


# ---- JSON ----


def as_json(
    groups: Sequence[Group], threads: Sequence[ThreadMatrix], tx: Sequence[TxMatrix], verdict: LocalityVerdict
) -> dict[str, Any]:
    """Everything, as documented in schema/locality.json."""
    return {
        "verdict": {
            "kind": verdict.kind,
            "reasons": list(verdict.reasons),
            "sentence": verdict.sentence,
            "local_pct": verdict.local_pct,
            "messages": verdict.messages,
        },
        "groups": [_group_json(group) for group in groups],
        "messages": [
            {
                "pid": thread.pid or None, "tid": thread.tid or None,
                "process": thread.process, "thread": thread.thread,
                "rx_cpu": received, "cpu": read, "messages": count,
            }
            for thread in threads
            for (received, read), count in sorted(thread.matrix.cells.items())
        ],
        "sent_packets": [
            {"device": device.device, "tx_queues": device.queues, "cpu": cpu, "tx_queue": queue, "packets": count}
            for device in tx
            for (cpu, queue), count in sorted(device.cells.items())
        ],
    }  # fmt: skip


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "protocol": group.protocol,
        "address": group.address,
        "port": group.port,
        "dual_stack": group.dual_stack,
        "size": group.size,
        "steering": group.kind,
        "steering_text": group.steering,
        "changed_while_recording": group.changed,
        "members": [_member_json(member) for member in group.members],
    }


def _member_json(member: Member) -> dict[str, Any]:
    return {
        "index": member.index,
        "owner_pids": [int(pid) for pid in member.owners.split(",") if pid],
        "steered_cpus": None if member.steered_cpus is None else list(member.steered_cpus),
        "verdict": member.result,
        "reason": member.reason,
        "joined_s": member.joined_s,
        "joined_by": member.joined_by,
        "joined_cpu": member.joined_cpu,
        "served_by": [
            {
                "pid": server.pid,
                "tid": server.tid,
                "process": server.process,
                "thread": server.thread,
                "how": server.how,
                "cpus_allowed": list(server.cpus_allowed),
                "last_cpu": server.last_cpu if server.last_cpu >= 0 else None,
                "messages_by_cpu": {str(cpu): count for cpu, count in sorted(server.ran_on.items())},
            }
            for server in member.servers
        ],
    }
