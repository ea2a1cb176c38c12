"""Hand-made Runs: a server without faults, to which each test adds one."""

import json
from collections import Counter
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest

from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from netprobe.rules.context import RunContext
from netprobe.rules.finding import Finding, Result
from netprobe.rules.registry import all_rules, findings
from netprobe.run.description import RunInfo
from netprobe.run.model import Run
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table, table_of_rows

PID, SECONDS, BLOCKS, HZ = 4001, 10.0, 20, 99
RETURN_CPU = [(0x20, 0, 0, 0xFFFFF024), (0x16, 0, 0, 0)]
ROOT = ("start_thread", "serve")
_COLUMNS = {
    "syscalls": ("syscall", "calls"),
    "syscall_timeouts": ("syscall", "timeout", "timeout_log2_us", "calls", "timeout_total_ns"),
    "epoll_changes": ("operation", "calls"),
    "switches": ("voluntary", "involuntary"),
    "next_tasks": ("cpu", "next_thread", "next_idle", "voluntary", "involuntary"),
    "messages": ("rx_cpu", "cpu", "messages", "accepted"),
    "sent_packets": ("device", "tx_queues", "tx_queue", "cpu", "packets"),
    "busy_polls": (
        "napi_id", "budget", "attempts", "hits", "packets", "episodes", "last_poll_packets", "polling_ns",
    ),
}  # fmt: skip


class World:
    """Two reactors on two CPUs, 20,000 requests a second each, in the right order, over loopback."""

    def __init__(self) -> None:
        self.threads: dict[str, int] = {}
        self.rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
        self.stacks: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.settings: dict[str, int | None] = {"net.core.busy_poll": 0, "net.core.busy_read": 0}
        self.connections: list[tuple[Any, ...]] = []
        # Share of the messages; None: not counted, as in Runs of earlier versions.
        self.same_host: float | None = None
        self.sets: list[tuple[Any, ...]] = []
        self.napis: list[tuple[Any, ...]] = []
        self.softirq: list[tuple[Any, ...]] = []
        self.steering, self.program = "cbpf", RETURN_CPU
        self.members: list[tuple[str, str, int]] = []
        # Every member listens on each port.
        self.ports = [8080]
        self.event, self.cpus_online, self.boot = "cpu-clock", "0-1", "quiet"
        self.requests: dict[str, Any] | None = None
        self.run_queue: dict[str, int] = {}
        # (pid, process, kind, port, connections, pinned); None: not observed, as in Runs of earlier versions.
        self.peers: list[tuple[Any, ...]] | None = None
        # Seconds that a thread runs and is runnable, of the target's threads and of others.
        self.budgets: dict[str, tuple[float, float]] = {}
        self.others: dict[str, float] = {}
        # Sleeps of threads in addition to epoll_wait: thread -> system call -> seconds; they take from epoll_wait.
        self.asleep: dict[str, dict[str, float]] = {}
        self.uninterruptible: set[str] = set()
        self.sleep_objects: list[tuple[Any, ...]] = []
        self.wakers: list[tuple[Any, ...]] = []
        self.listeners: list[tuple[Any, ...]] = [(PID, 8080, 1, 0)]
        # (pid, port, accepted, seconds, busy, receiver limited, buffer limited, segments, again, unsent, unacked, rtt)
        self.tcp_connections: list[tuple[Any, ...]] = [(PID, 8080, True, 5.0, 10**8, 0, 0, 1000, 0, 0, 0, 50_000)]
        # (pid, port, inode, dropped)
        self.udp_sockets: list[tuple[Any, ...]] = []
        self.counters: dict[str, int] = {}
        self.cpu_limits: list[tuple[Any, ...]] = []
        self.idle_s = 0.0
        # Samples of each thread in user mode, kernel, page faults and interrupts.
        self.modes = (300, 300, 0, 100)
        self.without: set[str] = set()

    # ---- Events ----

    def thread(self, name: str) -> tuple[int, int, str, str]:
        tid = self.threads.setdefault(name, PID + 1 + len(self.threads))
        return PID, tid, "web", name

    def add(self, table: str, thread: str, *values: Any) -> "World":
        """A row of a table, in interval 0."""
        self.rows[table].append((0, *self.thread(thread), *values))
        return self

    def call(self, thread: str, name: str, calls: int, **timeouts: int) -> "World":
        self.add("syscalls", thread, name, calls)
        for kind, count in timeouts.items():
            self.add("syscall_timeouts", thread, name, kind, 0, count, 0)
        return self

    def switch(self, thread: str, voluntary: int, involuntary: int = 0, by: str = "", cpu: int = 0) -> "World":
        """Switches at a steady rate over the intervals."""
        for interval in range(BLOCKS):
            self.rows["switches"].append(
                (interval, *self.thread(thread), _part(voluntary, interval), _part(involuntary, interval))
            )
        self.rows["next_tasks"] = [row for row in self.rows["next_tasks"] if by or row[4] != thread]
        return self.add("next_tasks", thread, cpu, by or "(idle)", not by, voluntary, involuntary)

    def message(self, thread: str, received: int, read: int, count: int) -> "World":
        return self.add("messages", thread, received, read, count, count)

    def remote(self, thread: str, read: int, count: int, total: int = 200_000) -> "World":
        """Replace the messages of a thread: `count` of `total` were received on the other CPU."""
        self.rows["messages"] = [row for row in self.rows["messages"] if row[4] != thread]
        return self.message(thread, read, read, total - count).message(thread, 1 - read, read, count)

    def sample(self, thread: str, stack: str, samples: int) -> "World":
        """`a;b;k:c`: root first; k: marks kernel functions, u: files without symbols."""
        self.stacks[thread, (*ROOT, *stack.split(";"))] += samples
        return self

    def balanced(self, thread: str, samples: int = 700) -> "World":
        """Samples in fifty functions of the kernel."""
        for number in range(50):
            self.sample(thread, f"send;k:do_syscall_64;k:__sys_sendto;k:part_{number}", samples // 50)
        return self

    def drop(self, table: str, *, thread: str = "", syscall: str = "") -> "World":
        self.rows[table] = [
            row
            for row in self.rows[table]
            if (thread and row[4] != thread) or (syscall and row[5] != syscall)
        ]  # fmt: skip
        return self

    def connect(self, napi_id: int, count: int, us: int = 0, prefer: bool = False) -> "World":
        self.connections.append((PID, napi_id, us, 0, prefer, count))
        return self

    def epoll_set(self, fd: int, by_napi: dict[int, int], us: int = 0, prefer: bool = False) -> "World":
        for napi_id, count in by_napi.items():
            self.sets.append((PID, fd, "epoll", True, us, 0, prefer, napi_id, count))
        return self

    def napi(self, number: int, softirq: int, queue: int = 0, defer: int = 0, flush: int = 0) -> "World":
        self.napis.append((number, queue, defer, flush, "eth0"))
        self.softirq.append((number, False, softirq, softirq))
        return self

    def polls(self, thread: str, napi_id: int, attempts: int, packets: int) -> "World":
        return self.add("busy_polls", thread, napi_id, 8, attempts, packets, packets, attempts, 0, 0)

    def member(self, thread: str, cpus: str, incoming_cpu: int = -1) -> "World":
        self.members.append((thread, cpus, incoming_cpu))
        return self

    # ---- As a Run ----

    def run(self) -> Run:
        tables = [
            Table(name, _by_column(("interval", "pid", "tid", "process", "thread", *_COLUMNS[name]), rows))
            for name, rows in self.rows.items()
        ]
        if self.same_host is not None:
            messages = next(table.columns for table in tables if table.name == "messages")
            messages["same_host"] = [int(count * self.same_host) for count in messages["messages"]]
        tables += [*self._groups(), *self._polling(), *profile_tables(self._profile())]
        if self.run_queue:
            names = ("interval", "pid", "tid", "process", "thread", "total_ns")
            waits = [(0, *self.thread(name), total_ns) for name, total_ns in self.run_queue.items()]
            tables.append(Table("run_queue", _by_column(names, waits)))
        if self.peers is not None:
            tables.append(
                Table("peers", _by_column(("pid", "process", "kind", "port", "connections", "pinned"), self.peers))
            )
        if self.budgets:
            tables += self._times()
        idle_ns = int(self.idle_s * 1e9 / BLOCKS)
        intervals = [(number, number * SECONDS / BLOCKS, SECONDS / BLOCKS, idle_ns) for number in range(BLOCKS)]
        tables.append(
            Table("intervals", _by_column(("interval", "start_s", "duration_s", "machine_idle_ns"), intervals))
        )
        info: dict[str, Any] = {
            "recording": {"seconds": SECONDS},
            "host": {"cpus_online": self.cpus_online, "boot_parameters": self.boot},
            "target": {"description": "web"},
            "probes": ["syscalls"],
        }
        if self.requests:
            info["requests"] = self.requests
        return Run(
            msgspec.convert(info, RunInfo), {table.name: table for table in tables if table.name not in self.without}
        )

    def _times(self) -> list[Table]:
        rows = []
        for name, (runs_s, waits_s) in self.budgets.items():
            states = {"alive": SECONDS, "running": runs_s, "runnable": waits_s}
            for state, seconds in states.items():
                rows.append((0, *self.thread(name), state, "", int(seconds * 1e9), *[0] * 7))
            asleep = dict(self.asleep.get(name, {}))
            asleep["epoll_wait"] = SECONDS - runs_s - waits_s - sum(asleep.values())
            for call, seconds in asleep.items():
                total_ns = int(seconds * 1e9)
                blocked_ns = total_ns if call in self.uninterruptible else 0
                rows.append((0, *self.thread(name), "asleep", call, total_ns, 1000, blocked_ns, *[0] * 5))
        others = [(77, 78, name, name, int(seconds * 1e9)) for name, seconds in self.others.items()]
        return [
            table_of_rows("thread_time", rows),
            table_of_rows("other_tasks", others),
            table_of_rows("sample_modes", [(0, *self.thread(name), *self.modes) for name in self.budgets]),
            table_of_rows("sleep_objects", self.sleep_objects),
            table_of_rows("wakers", self.wakers),
            table_of_rows("listeners", self.listeners),
            table_of_rows("tcp_connections", self.tcp_connections),
            table_of_rows("udp_sockets", self.udp_sockets),
            table_of_rows("network_counters", sorted(self.counters.items())),
            table_of_rows("cpu_limits", self.cpu_limits),
        ]

    def _groups(self) -> list[Table]:
        how = (False, len(self.members), self.steering, json.dumps(self.program), 0, "", False)
        groups = [(number, "tcp", "10.0.0.1", port, *how) for number, port in enumerate(self.ports) if self.members]
        names = (
            "group", "protocol", "address", "port", "dual_stack", "size", "steering", "program", "program_omitted",
            "program_name", "changed_while_recording",
        )  # fmt: skip
        rows = []
        for number, (index, (thread, cpus, incoming)) in product(range(len(self.ports)), enumerate(self.members)):
            pid, tid, process, _ = self.thread(thread)
            served = (pid, tid, process, thread, "epoll", cpus, 0)
            inode = 100 * (number + 1) + index
            rows.append((number, index, inode, incoming, str(PID), *served, float("nan"), -1, "", -1))
        columns = (
            "group", "index", "inode", "incoming_cpu", "owner_pids", "pid", "tid", "process", "thread", "how",
            "cpus_allowed", "last_cpu", "joined_s", "joined_tid", "joined_thread", "joined_cpu",
        )  # fmt: skip
        return [
            Table("reuseport_groups", _by_column(names, groups)),
            Table("reuseport_members", _by_column(columns, rows)),
        ]

    def _polling(self) -> list[Table]:
        kept: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
            "polling_settings": (("name", "value"), list(self.settings.items())),
            "polling_sets": (
                ("pid", "fd", "kind", "known", "busy_poll_us", "budget", "prefer", "napi_id", "connections"),
                self.sets,
            ),
            "polling_connections": (
                ("pid", "napi_id", "busy_poll_us", "budget", "prefer", "connections"),
                self.connections,
            ),
            "napis": (("napi_id", "queue", "defer_hard_irqs", "gro_flush_timeout_ns", "device"), self.napis),
            "softirq_polls": (("napi_id", "threaded", "polls", "packets"), self.softirq),
            "polling_kernel": (("network_namespace", "busy_poll_rx_packets"), []),
            "polling_sleeps": (("pid", "tid", "voluntary_switches"), []),
        }
        return [Table(name, _by_column(columns, rows)) for name, (columns, rows) in kept.items()]

    def _profile(self) -> Profile:
        frames: dict[str, int] = {}
        threads: dict[str, int] = {}
        stacks, rows = [], []
        for (thread, names), samples in self.stacks.items():
            stacks.append([frames.setdefault(name, len(frames)) for name in names])
            rows.append((len(stacks) - 1, threads.setdefault(thread, len(threads)), samples))
        starts = np.concatenate(([0], np.cumsum([len(one) for one in stacks], dtype=np.int64))).astype(np.int64)
        columns = np.array(rows, np.int64).reshape(-1, 3)
        weight = (columns[:, 2] * (1e9 / HZ if self.event == "cpu-clock" else 1e7)).astype(np.float64)
        return Profile(
            [_frame(name) for name in frames],
            Stacks(starts, np.array([number for one in stacks for number in one], np.int64)),
            [Thread(PID, self.threads.get(name, -1), name) for name in threads],
            Samples(columns[:, 0], columns[:, 1], np.zeros(len(rows), np.int64), columns[:, 2], weight),
            Info(event=self.event, unit="ns" if self.event == "cpu-clock" else "cycles", seconds=SECONDS),
        )

    # ---- Results of the rules ----

    def result(self, code: str) -> Result:
        (rule,) = [rule for rule in all_rules() if code == rule.CODE]
        return RunContext(self.run()).result(rule)

    def finding(self, code: str) -> Finding:
        result = self.result(code)
        assert isinstance(result, Finding), result
        return result

    def codes(self) -> list[str]:
        return [finding.code for finding in findings(RunContext(self.run()))]


def _part(count: int, interval: int) -> int:
    return count * (interval + 1) // BLOCKS - count * interval // BLOCKS


def _by_column(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _frame(name: str) -> Frame:
    if name.startswith("k:"):
        return Frame(name[2:], "[kernel]", Kind.KERNEL)
    if name.startswith("u:"):
        return Frame("[unknown]", name[2:], Kind.UNKNOWN)
    return Frame(name, "/usr/bin/web", Kind.USER)


def reactor(world: World, number: int) -> None:
    name = f"reactor-{number}"
    world.member(name, str(number)).message(name, number, number, 200_000).balanced(name)
    world.call(name, "recvfrom", 200_000).call(name, "sendto", 200_000).call(
        name, "epoll_pwait", 50_000, infinite=50_000
    )
    world.switch(name, 5_000, cpu=number)
    world.epoll_set(5 + number, {0: 8})


@pytest.fixture
def world() -> World:
    """A server without a fault."""
    made = World()
    for number in (0, 1):
        reactor(made, number)
    return made.connect(0, 16)


@pytest.fixture
def polling() -> World:
    """One reactor that busy-polls the queue of a device successfully."""
    made = World()
    reactor(made, 0)
    made.sets, made.settings["net.core.busy_poll"] = [], 50
    made.connect(801, 16).epoll_set(5, {801: 16}, us=200, prefer=True)
    return made.napi(801, softirq=5_000, defer=2, flush=200_000).polls("reactor-0", 801, 2_000_000, 195_000)


@pytest.fixture
def empty() -> World:
    """A Run with intervals only."""
    made = World()
    made.without = {
        *made.rows, "reuseport_groups", "reuseport_members", "napis", "softirq_polls", "polling_settings",
        "polling_sets", "polling_connections", "polling_kernel", "polling_sleeps", "profile_frames",
        "profile_stacks", "profile_threads", "profile_samples", "profile_info",
    }  # fmt: skip
    return made
