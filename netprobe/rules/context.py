"""The input of rules: a Run and its analyses, each computed once, when a rule first needs it."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from netprobe.analysis.request_count import ServedRequests, request_count
from netprobe.rules.documentation import Documentation
from netprobe.rules.finding import Finding, Inconclusive, Pass, Result
from netprobe.run.model import Run
from netprobe.run.schema.tables import TABLES, probe_of

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.analysis.busypoll import BusyPolling
    from netprobe.analysis.frame_shares import FrameShares
    from netprobe.analysis.locality import Group, LocalityVerdict, Matrix, ThreadMatrix, TxMatrix
    from netprobe.analysis.pollers import Poller
    from netprobe.analysis.saturation import Saturation
    from netprobe.analysis.serving_time import ServingTime
    from netprobe.analysis.switches import SwitchRow
    from netprobe.analysis.syscalls import SyscallRow
    from netprobe.analysis.time_budget import TimeBudget


# Assumed length of a recording whose length is not known: only a high count is then a high rate.
_ASSUMED_SECONDS = 600.0
_SHARED = "_rule_context"


class MissingDataError(Exception):
    """The Run lacks data that a rule needs. The message names the probe or privilege."""


class Rule(Protocol):
    """A module of this package that has a code. `netprobe explain` prints its docstring."""

    CODE: str
    """Its stable name, such as `reuseport-order`."""
    DOCUMENTATION: Documentation
    """The docstring of the module, parsed."""

    def evaluate(self, context: RunContext) -> Result:
        """The result of this rule for a Run. Raises `MissingDataError` if the Run lacks data."""


def context_of(run: Run) -> RunContext:
    """The context of a Run, created at the first call: everything that reads the Run shares its analyses."""
    if _SHARED not in vars(run):
        vars(run)[_SHARED] = RunContext(run)
    context: RunContext = vars(run)[_SHARED]
    return context


class RunContext:
    """A Run and its analyses. A property raises `MissingDataError` if the Run lacks the data."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._results: dict[str, Result] = {}

    def result(self, rule: Rule) -> Result:
        """The result of a rule, evaluated once; inconclusive if the Run lacks the data that the rule needs."""
        if rule.CODE not in self._results:
            try:
                result = rule.evaluate(self)
            except MissingDataError as missing:
                result = Inconclusive(rule.CODE, str(missing))
            if isinstance(result, Inconclusive) and self.pollers:
                # The data are not missing: a poll-mode process does not use the network stack of the kernel.
                result = Pass(rule.CODE, "does not apply: poll mode with kernel bypass")
            self._results[rule.CODE] = result
        return self._results[rule.CODE]

    def cause(self, *rules: Rule) -> str:
        """The code of the first of these rules that has a finding, "" if none has."""
        return next((rule.CODE for rule in rules if isinstance(self.result(rule), Finding)), "")

    @property
    def imported(self) -> bool:
        """Whether the Run was made from reports of other tools, which cover only a part of what netprobe records."""
        return self.run.imported

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        if not self.has_duration:
            raise MissingDataError(
                "needs the length of the recording, which was not specified (netprobe import -d SECONDS)"
            )
        return self.run.seconds

    @property
    def has_duration(self) -> bool:
        """Whether the length of the recording is known."""
        return self.run.info.recording.seconds is not None

    def is_frequent(self, count: float, per_second: float) -> bool:
        """Whether a count is at least this rate. A recording of unknown length is assumed to have taken ten minutes."""
        return count >= per_second * (self.seconds if self.has_duration else _ASSUMED_SECONDS)

    def rate_text(self, count: float) -> str:
        """`1200 per second`, to follow the count itself; `in an unknown time`."""
        if not self.has_duration:
            return "in an unknown time"
        return f"{count / self.seconds:.0f} per second"

    @property
    def cpus_online(self) -> str:
        """The CPUs of the machine as a list, such as 0-3."""
        cpus = self.run.info.host.cpus_online
        if cpus is None:
            raise MissingDataError("needs the list of online CPUs, which was not specified")
        return cpus

    def require(self, *tables: str) -> None:
        """Raise `MissingDataError` unless the Run has these tables."""
        missing = [name for name in tables if name not in self.run.tables]
        observed = [name for name in missing if name in TABLES and not TABLES[name].probe]
        if observed:
            raise MissingDataError(f"needs the table {', '.join(observed)}: record again with netprobe record")
        if missing:
            recorded = ", ".join(self.run.info.probes) or "nothing"
            probes = ", ".join(sorted({probe_of(name) for name in missing}))
            verb = "imported" if self.imported else "recorded"
            raise MissingDataError(f"needs the probe {probes} (use netprobe record); {verb}: {recorded}")

    @cached_property
    def requests(self) -> ServedRequests | None:
        """The number of requests and its origin; None if it is not known."""
        return request_count(self.run)

    @cached_property
    def time_budgets(self) -> list[TimeBudget]:
        """Where the time of threads goes, by role."""
        self.require("thread_time")
        from netprobe.analysis.time_budget import time_budgets

        return time_budgets(self.run.tables)

    @cached_property
    def thread_budgets(self) -> list[TimeBudget]:
        """Where the time of threads goes, by thread."""
        self.require("thread_time")
        from netprobe.analysis.time_budget import time_budgets

        return time_budgets(self.run.tables, fold=False)

    @cached_property
    def client_threads(self) -> frozenset[str]:
        """Names of the threads of clients on this host, which are at the other end of its connections."""
        tables = self.run.tables
        if "peers" not in tables:
            return frozenset()
        clients = {
            pid: process for pid, process, kind in tables["peers"].rows("pid", "process", "kind") if kind == "client"
        }
        names = set(clients.values())
        if "other_tasks" in tables:
            names |= {thread for pid, thread in tables["other_tasks"].rows("pid", "thread") if pid in clients}
        return frozenset(names)

    @cached_property
    def received_where_clients_run(self) -> bool:
        """Whether most messages come from clients on this host that are not known to be pinned.

        Over loopback the sender's CPU processes the packets, so the receiving CPU is the one on which the scheduler
        runs the client at that moment: it is no property of the server.
        """
        if not self.matrix.from_this_host:
            return False
        if "peers" not in self.run.tables or "pinned" not in self.run.tables["peers"].columns:
            return True
        clients = [pinned for kind, pinned in self.run.tables["peers"].rows("kind", "pinned") if kind == "client"]
        return not (clients and all(clients))

    @cached_property
    def cpu_ns_by_thread(self) -> dict[str, int]:
        """CPU time by name of the thread, of the target's threads and of others on this host."""
        found: Counter[str] = Counter()
        for budget in self.thread_budgets:
            found[budget.thread] += budget.running_ns
        if "other_tasks" in self.run.tables:
            for thread, running_ns in self.run.tables["other_tasks"].rows("thread", "running_ns"):
                found[thread] += running_ns
        return dict(found)

    @cached_property
    def saturation(self) -> Saturation | None:
        """The state of the role that handles the messages; None without threads."""
        self.require("thread_time")
        from netprobe.analysis.locality import parse_cpu_list
        from netprobe.analysis.saturation import saturation

        return saturation(self.run.tables, self.seconds, len(parse_cpu_list(self.cpus_online)))

    @cached_property
    def idle_pct(self) -> float:
        """Share of the time of the machine's CPUs in which they were idle, in percent."""
        from netprobe.analysis.locality import parse_cpu_list
        from netprobe.analysis.saturation import idle_share_pct

        share = idle_share_pct(self.run.tables, self.seconds * len(parse_cpu_list(self.cpus_online)))
        if share is None:
            raise MissingDataError("needs the idle time of the machine, which this Run does not have")
        return share

    @cached_property
    def serving_time(self) -> ServingTime:
        """The time of the threads that handle the messages."""
        self.require("thread_time")
        if self.saturation is None:
            raise MissingDataError("needs threads, and none of the target was seen")
        from netprobe.analysis.serving_time import ServingTime

        return ServingTime(self.saturation.threads, "messages" in self.run.tables and bool(self.matrix.cells))

    @cached_property
    def calls(self) -> list[SyscallRow]:
        """System calls, one row per call."""
        self.require("syscalls")
        from netprobe.analysis.syscalls import summarise

        return summarise(self.run.tables, "syscall")

    @cached_property
    def calls_by_thread(self) -> list[SyscallRow]:
        """System calls, one row per thread and call."""
        self.require("syscalls")
        from netprobe.analysis.syscalls import summarise

        return summarise(self.run.tables, "thread")

    @cached_property
    def switches(self) -> list[SwitchRow]:
        """Context switches by role: the threads `timer-0` and `timer-1` have the role `timer-N`."""
        self.require("switches", *(() if self.imported else ("next_tasks",)))
        from netprobe.analysis.switches import summarise

        return summarise(self.run.tables, fold=True)

    @cached_property
    def switches_by_thread(self) -> list[SwitchRow]:
        """Context switches by thread."""
        self.require("switches", "next_tasks")
        from netprobe.analysis.switches import summarise

        return summarise(self.run.tables, fold=False)

    @cached_property
    def thread_matrices(self) -> list[ThreadMatrix]:
        """Messages by thread, receiving CPU and reading CPU."""
        self.require("messages")
        from netprobe.analysis.locality import thread_matrices

        return thread_matrices(self.run.tables)

    @cached_property
    def matrix(self) -> Matrix:
        """Messages by receiving CPU and reading CPU."""
        from netprobe.analysis.locality import whole_matrix

        return whole_matrix(self.thread_matrices)

    @cached_property
    def reactors(self) -> list[ThreadMatrix]:
        """Serving threads: threads that read more than 1 % of the messages, by descending number of messages.

        Threads that read only from connections that they opened are clients, such as a load generator in a recording
        of the whole machine: they count only where no thread reads from accepted connections.
        """
        total = sum(thread.matrix.cells.total() for thread in self.thread_matrices)
        reading = [thread for thread in self.thread_matrices if thread.matrix.cells.total() * 100 > total]
        if "accepted" not in self.run.tables["messages"].columns:
            return reading
        accepted: Counter[tuple[int, int]] = Counter()
        for pid, tid, count in self.run.tables["messages"].rows("pid", "tid", "accepted"):
            accepted[pid, tid] += count
        return [thread for thread in reading if accepted[thread.pid, thread.tid]] or reading

    @cached_property
    def locality_verdict(self) -> LocalityVerdict:
        """Whether messages are read on the CPU that received them."""
        from netprobe.analysis.locality import verdict

        return verdict(self.groups, self.matrix, self.received_where_clients_run)

    @cached_property
    def tx(self) -> list[TxMatrix]:
        """Packets by sending CPU and transmit queue, of devices with several queues."""
        self.require("sent_packets")
        from netprobe.analysis.locality import tx_matrices

        return tx_matrices(self.run.tables)

    @cached_property
    def groups(self) -> list[Group]:
        """Reuseport groups with evaluated members."""
        self.require("reuseport_groups", "reuseport_members")
        from netprobe.analysis.locality import groups

        if self.imported:
            return groups(self.run.tables, "", [])
        return groups(self.run.tables, self.cpus_online, self.thread_matrices)

    @cached_property
    def polling(self) -> BusyPolling:
        """Busy polling and its prerequisites."""
        self.require("busy_polls", "napis", "polling_settings", "polling_sets", "polling_connections", "syscalls")
        from netprobe.analysis.busypoll import analyse

        return analyse(self.run.tables)

    @cached_property
    def profile(self) -> Profile:
        """Stacks of running threads."""
        self.require("profile_info")
        profile = self.run.profile
        if not profile.count and len(profile.samples):
            raise MissingDataError("needs numbers of samples; the numbers of these stacks are not samples")
        if not profile.count:
            raise MissingDataError("needs samples of the running server; there are none")
        return profile

    @cached_property
    def frames(self) -> FrameShares:
        """Shares of the samples by function, without the samples in BPF programs of netprobe."""
        from netprobe.analysis.frame_shares import FrameShares

        return FrameShares(self.profile)

    @cached_property
    def pollers(self) -> list[Poller]:
        """Threads that poll a device from user space; empty if the Run lacks the data."""
        tables = self.run.tables
        if "profile_info" not in tables or "syscalls" not in tables or "switches" not in tables:
            return []
        from netprobe.analysis.pollers import pollers

        try:
            return pollers(tables, self.profile, self.seconds)
        except MissingDataError:
            return []

    @cached_property
    def cpu_seconds(self) -> float:
        """CPU time of the server: from samples by a clock, otherwise one CPU for each serving thread.

        0 if it is not known, as for imported reports without samples.
        """
        try:
            profile = self.profile
        except MissingDataError:
            profile = None
        if profile and profile.info.unit == "ns":
            return profile.total / 1e9
        if self.imported:
            return 0.0
        return self.seconds * max(1, len(self.reactors))

    def share_of_cpu(self, nanoseconds: float) -> float:
        """A time in percent of the server's CPU time."""
        return 100 * nanoseconds / 1e9 / self.cpu_seconds if self.cpu_seconds else 0.0
