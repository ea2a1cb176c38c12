"""Whether the threads that handle the messages are saturated, waiting, idle or limited by their client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flamegraph.names import fold_names
from netprobe.analysis.tcp_info import tcp_totals
from netprobe.analysis.time_budget import Sleep, TimeBudget, add_up, time_budgets
from netprobe.run.table import Table, thread_rows

State = Literal["saturated", "waiting", "limited by its client", "idle", "not saturated"]
# Percent of a thread's time from which it is saturated, and below which it is idle.
_SATURATED_PCT, _IDLE_PCT = 90.0, 2.0
# Percent of the time in one kind of sleep from which that is what a role waits for.
_WAITING_PCT = 50.0
# Percent of the CPUs' time that is idle, below which the machine's CPUs are saturated.
_NO_IDLE_PCT = 5.0
# Percent of a CPU that a client's thread uses when it is saturated; percent of all CPUs that clients use at least if
# they are what keeps the server from its CPUs.
_CLIENT_BUSY_PCT, _CLIENTS_PCT = 85.0, 20.0
# Percent of an equal share of a role's messages that a thread must handle to count as one of its threads.
_HANDLES_PCT = 1.0


@dataclass(frozen=True)
class Saturation:
    """The state of the role that handles the messages, and the numbers that it follows from.

    `role`: its time budget. `busiest_pct`: the share of time for which its busiest thread runs or is runnable.
    `waits_for`: the sleep that a waiting role is in.
    """

    state: State
    role: TimeBudget
    busiest_pct: float
    waits_for: Sleep | None = None
    threads: tuple[TimeBudget, ...] = ()
    """The threads of the role, one by one."""
    colleagues: tuple[TimeBudget, ...] = ()
    """These threads, and others of the same name that hold a listener and wait for connections as well."""

    @property
    def sentence(self) -> str:
        """One sentence with the state and its evidence."""
        count = len(self.role.tids)
        name = f"{self.role.thread}{f' ({count} threads)' if count > 1 else ''}"
        busiest = "its busiest thread" if count > 1 else "it"
        if self.state == "saturated":
            return (
                f"{name} is saturated: {busiest} runs or is runnable {self.busiest_pct:.0f} % of the time "
                f"({self._parts()})."
            )
        if self.state == "waiting" and self.waits_for is not None:
            return f"{name} is waiting for {_sleep_text(self.role, self.waits_for)}."
        if self.state == "limited by its client":
            return (
                f"{name} is limited by its client: it sleeps {self._asleep_pct():.0f} % of the time in "
                f"{self._sleep_name()}, while its clients on this host use all the CPU time that they can get."
            )
        if self.state == "idle":
            return f"{name} is idle: it sleeps {self._asleep_pct():.1f} % of the time in {self._sleep_name()}."
        return (
            f"{name} is not saturated: {busiest} runs or is runnable {self.busiest_pct:.0f} % of the time "
            f"({self._parts()}), and sleeps in {self._sleep_name()} for the rest."
        )

    def _asleep_pct(self) -> float:
        return self.role.share(self.role.asleep_ns)

    def _sleep_name(self) -> str:
        longest = self.role.longest_sleeps
        return longest[0].reason if longest else "no call"

    def _parts(self) -> str:
        parts = {
            "kernel": self.role.mode_ns("kernel", "page_fault"),
            "user": self.role.mode_ns("user"),
            "interrupts": self.role.mode_ns("interrupt"),
        }
        shares = [(name, self.role.share(ns)) for name, ns in parts.items() if ns is not None]
        if not shares:
            shares = [("running", self.role.share(self.role.running_ns))]
        shares.append(("waiting for a CPU", self.role.share(self.role.runnable_ns)))
        return ", ".join(f"{name} {share:.0f} %" for name, share in sorted(shares, key=lambda one: -one[1]))


def _sleep_text(role: TimeBudget, sleep: Sleep) -> str:
    on = f" on {sleep.objects.most_common(1)[0][0]}" if sleep.objects else ""
    return f"{sleep.reason}{on}, {role.share(sleep.total_ns):.0f} % of the time"


# Name, threads that handle its messages, and all threads of its name.
_Role = tuple[str, list[TimeBudget], list[TimeBudget]]


def saturation(tables: Mapping[str, Table], seconds: float, cpus: int) -> Saturation | None:
    """The state of the role that handles most messages, else of the one that runs most; None without threads.

    `seconds`: length of the recording; `cpus`: how many CPUs the machine has online.
    """
    threads = [row for row in time_budgets(tables, fold=False) if row.alive_ns]
    if not threads:
        return None
    handled, same_host = _messages(tables)
    name, members, of_role = _members(threads, handled)
    colleagues = _colleagues(tables, of_role, handled)
    role = add_up(members)
    role.thread = name
    busiest_pct = max(row.share(row.running_ns + row.runnable_ns) for row in members)

    def found(state: State, sleep: Sleep | None = None) -> Saturation:
        return Saturation(state, role, busiest_pct, sleep, tuple(members), tuple(colleagues))

    if busiest_pct >= _SATURATED_PCT:
        return found("saturated")
    if (sleep := _waits_for(role)) is not None:
        return found("waiting", sleep)
    if busiest_pct < _IDLE_PCT and not tcp_totals(tables, accepted=True).waits_for_ack:
        return found("idle")
    if 2 * same_host > sum(handled.values()) > 0 and _clients_are_saturated(tables, seconds, cpus):
        return found("limited by its client")
    return found("not saturated")


def _clients_are_saturated(tables: Mapping[str, Table], seconds: float, cpus: int) -> bool:
    """Whether a client's thread uses a whole CPU, or clients use a good part of CPUs of which none is idle."""
    if "peers" not in tables or "other_tasks" not in tables or not seconds:
        return False
    clients = {pid for pid, kind in tables["peers"].rows("pid", "kind") if kind == "client"}
    shares = [
        100 * ns / (seconds * 1e9) for pid, ns in tables["other_tasks"].rows("pid", "running_ns") if pid in clients
    ]
    if max(shares, default=0.0) >= _CLIENT_BUSY_PCT:
        return True
    idle_pct = idle_share_pct(tables, seconds * cpus)
    return idle_pct is not None and idle_pct < _NO_IDLE_PCT and sum(shares) >= _CLIENTS_PCT * cpus


def _messages(tables: Mapping[str, Table]) -> tuple[Counter[tuple[int, int]], int]:
    """Messages on accepted connections by (pid, tid), and how many came from this host."""
    handled: Counter[tuple[int, int]] = Counter()
    for pid, tid, _, _, accepted in thread_rows(tables, "messages", "accepted"):
        handled[pid, tid] += accepted
    same_host = 0
    if "messages" in tables and "same_host" in tables["messages"].columns:
        same_host = sum(count for (count,) in tables["messages"].rows("same_host"))
    return +handled, same_host


def _members(threads: Sequence[TimeBudget], handled: Counter[tuple[int, int]]) -> _Role:
    """The role that handles most messages."""
    names = fold_names([row.thread for row in threads])
    processes = fold_names([row.process for row in threads])
    by_role: dict[tuple[str, str], list[TimeBudget]] = {}
    for row in threads:
        by_role.setdefault((processes[row.process], names[row.thread]), []).append(row)

    def weight(rows: Sequence[TimeBudget]) -> tuple[int, int]:
        return sum(handled[tid] for row in rows for tid in row.tids), sum(row.running_ns for row in rows)

    (_, role), rows = max(by_role.items(), key=lambda item: weight(item[1]))
    total = weight(rows)[0]
    # Relative to an equal share: of a thousand threads, each handles a thousandth.
    members = [row for row in rows if sum(handled[tid] for tid in row.tids) * len(rows) * 100 >= total * _HANDLES_PCT]
    return role if len(members) > 1 else members[0].thread, members, rows


def _colleagues(
    tables: Mapping[str, Table], rows: Sequence[TimeBudget], handled: Counter[tuple[int, int]]
) -> list[TimeBudget]:
    """Threads of a role that handle messages, or hold a listener and wait for connections.

    The first thread of a server is often a master with the name of its workers: it counts only if it handles messages.
    """
    holders = {pid for (pid,) in tables["listeners"].rows("pid")} if "listeners" in tables else set()
    first = min(min(row.tids) for row in rows)
    handling = {pid for pid, tid in handled}

    def serves(row: TimeBudget) -> bool:
        if any(handled[tid] for tid in row.tids):
            return True
        waits = bool(row.sleeps) and row.longest_sleeps[0].category in ("poll", "accept", "io_uring")
        if not waits or first in row.tids or not any(pid in holders for pid, _ in row.tids):
            return False
        # Threads of one process that were not given a name of their own may do anything.
        return row.thread != row.process or not any(pid in handling for pid, _ in row.tids)

    return [row for row in rows if serves(row)]


def _waits_for(role: TimeBudget) -> Sleep | None:
    """The sleep in which the role waits for something other than its clients."""
    if not role.sleeps:
        return None
    longest = role.longest_sleeps[0]
    from_clients = longest.category in ("poll", "accept", "io_uring", "stopped", "other") or (
        longest.category == "receive" and not any(slept_on.kind == "connected" for slept_on in longest.objects)
    )
    # An idle pool of threads sleeps in a futex too: the sleep alone does not show whether a lock is contended.
    if from_clients or longest.category == "futex" or role.share(longest.total_ns) < _WAITING_PCT:
        return None
    return longest


def idle_share_pct(tables: Mapping[str, Table], cpu_seconds: float) -> float | None:
    """Share of the CPUs' time that is idle while the recording counts; None where it is not known."""
    intervals = tables.get("intervals")
    if intervals is None or "machine_idle_ns" not in intervals.columns or not cpu_seconds:
        return None
    total: int = sum(ns for (ns,) in intervals.rows("machine_idle_ns"))
    return 100 * total / (cpu_seconds * 1e9)
