"""What rules look at: a Run's tables, analysed once each and only when a rule asks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from netprobe.analysis.requests import Requests, requests_of
from netprobe.rules.finding import Finding, Inconclusive, Pass, Result
from netprobe.run.model import Run

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.analysis.busypoll import BusyPolling
    from netprobe.analysis.frames import Frames
    from netprobe.analysis.locality import Group, Matrix, ThreadMatrix, TxMatrix
    from netprobe.analysis.pollers import Poller
    from netprobe.analysis.switches import SwitchRow
    from netprobe.analysis.syscalls import SyscallRow


# Table -> the probe that makes it, where that has another name.
_PROBE_OF = {
    **dict.fromkeys(("next_tasks",), "switches"),
    **dict.fromkeys(("messages", "sent_packets"), "locality"),
    **dict.fromkeys(("reuseport_groups", "reuseport_members"), "sockets, serving"),
    **dict.fromkeys(("busy_polls", "napis", "softirq_polls"), "busypoll"),
    **dict.fromkeys(("polling_settings", "polling_sets", "polling_connections"), "busypoll"),
    "profile_info": "stacks",
}


_LONGEST_UNKNOWN_S = 600.0


class MissingDataError(Exception):
    """A rule asked for what the Run does not have; the words say which probe or privilege is missing."""


class Rule(Protocol):
    """A file of this package. Its docstring is what `netprobe explain` prints."""

    CODE: str
    """Its stable name, such as `reuseport-order`."""

    def evaluate(self, context: RunContext) -> Result:
        """Look at a Run."""


class RunContext:
    """A Run for rules. Each property raises `MissingDataError` where the Run lacks what it needs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._answers: dict[str, Result] = {}

    def ask(self, rule: Rule) -> Result:
        """What a rule says, evaluated once: "inconclusive" where the Run lacks what the rule needs."""
        if rule.CODE not in self._answers:
            try:
                self._answers[rule.CODE] = rule.evaluate(self)
            except MissingDataError as missing:
                self._answers[rule.CODE] = Inconclusive(rule.CODE, str(missing))
            if isinstance(self._answers[rule.CODE], Inconclusive) and self.pollers:
                # What the kernel's network stack would show is not missing: it is not used.
                self._answers[rule.CODE] = Pass(rule.CODE, "does not apply: poll-mode, past the kernel")
        return self._answers[rule.CODE]

    def cause(self, *rules: Any) -> str:
        """The code of the first of these rules that has a finding, "" if none has."""
        return next((rule.CODE for rule in rules if isinstance(self.ask(rule), Finding)), "")

    @property
    def imported(self) -> bool:
        """Whether it was made of what other tools printed: what is not in it may have happened."""
        return self.run.imported

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        if not self.timed:
            raise MissingDataError("needs the length of the recording, which was not told (netprobe import -d SECONDS)")
        return self.run.seconds

    @property
    def timed(self) -> bool:
        """Whether the length of the recording is known."""
        return self.run.info.recording.seconds is not None

    def often(self, count: float, per_second: float) -> bool:
        """Whether it happened so often; of an unknown length, as if that had been ten minutes."""
        return count >= per_second * (self.seconds if self.timed else _LONGEST_UNKNOWN_S)

    def pace(self, count: float) -> str:
        """`1200 a second`, to be put behind the count itself; `in an unknown time`."""
        if not self.timed:
            return "in an unknown time"
        return f"{count / self.seconds:.0f} a second"

    @property
    def cpus_online(self) -> str:
        """The CPUs of the machine, as a list such as 0-3."""
        cpus = self.run.info.host.cpus_online
        if cpus is None:
            raise MissingDataError("needs to know which CPUs were online, which was not told")
        return cpus

    def need(self, *tables: str) -> None:
        """Raise `MissingDataError` unless the Run has these tables."""
        missing = [name for name in tables if name not in self.run.tables]
        if missing:
            recorded = ", ".join(self.run.info.probes) or "nothing"
            probes = ", ".join(sorted({_PROBE_OF.get(name, name) for name in missing}))
            if self.imported:
                raise MissingDataError(f"needs the probe {probes} (netprobe record has it); imported was {recorded}")
            raise MissingDataError(f"needs the probe {probes} (netprobe record has it); recorded were: {recorded}")

    @cached_property
    def requests(self) -> Requests | None:
        """How many requests were served, and how that is known; None where it is not."""
        return requests_of(self.run)

    @cached_property
    def calls(self) -> list[SyscallRow]:
        """System calls of all threads together, one row a call."""
        self.need("syscalls")
        from netprobe.analysis.syscalls import summarise

        return summarise(self.run.tables, "syscall")

    @cached_property
    def calls_by_thread(self) -> list[SyscallRow]:
        """System calls, one row a thread and call."""
        self.need("syscalls")
        from netprobe.analysis.syscalls import summarise

        return summarise(self.run.tables, "thread")

    @cached_property
    def switches(self) -> list[SwitchRow]:
        """Context switches by role (`timer-N`)."""
        self.need("switches", *(() if self.imported else ("next_tasks",)))
        from netprobe.analysis.switches import summarise

        return summarise(self.run.tables, fold=True)

    @cached_property
    def switches_by_thread(self) -> list[SwitchRow]:
        """Context switches by thread."""
        self.need("switches", "next_tasks")
        from netprobe.analysis.switches import summarise

        return summarise(self.run.tables, fold=False)

    @cached_property
    def thread_matrices(self) -> list[ThreadMatrix]:
        """Messages by thread, receiving and reading CPU."""
        self.need("messages")
        from netprobe.analysis.locality import thread_matrices

        return thread_matrices(self.run.tables)

    @cached_property
    def matrix(self) -> Matrix:
        """Messages by receiving and reading CPU."""
        from netprobe.analysis.locality import whole_matrix

        return whole_matrix(self.thread_matrices)

    @cached_property
    def reactors(self) -> list[ThreadMatrix]:
        """Threads that read messages, most first; those with less than 1 % of all are not counted."""
        total = sum(here.matrix.cells.total() for here in self.thread_matrices)
        return [here for here in self.thread_matrices if here.matrix.cells.total() * 100 > total]

    @cached_property
    def tx(self) -> list[TxMatrix]:
        """Packets by sending CPU and TX queue, of devices with several."""
        self.need("sent_packets")
        from netprobe.analysis.locality import tx_matrices

        return tx_matrices(self.run.tables)

    @cached_property
    def groups(self) -> list[Group]:
        """Reuseport groups with their members evaluated."""
        self.need("reuseport_groups", "reuseport_members")
        from netprobe.analysis.locality import groups

        if self.imported:
            return groups(self.run.tables, "", [])
        return groups(self.run.tables, self.cpus_online, self.thread_matrices)

    @cached_property
    def polling(self) -> BusyPolling:
        """The chain of busy polling."""
        self.need("busy_polls", "napis", "polling_settings", "polling_sets", "polling_connections", "syscalls")
        from netprobe.analysis.busypoll import analyse

        return analyse(self.run.tables)

    @cached_property
    def profile(self) -> Profile:
        """Stacks of running threads."""
        self.need("profile_info")
        from netprobe.run.profile import read_profile

        profile = read_profile(self.run.tables)
        if not profile.count and len(profile.samples):
            raise MissingDataError("needs counts of samples, and these stacks have other numbers")
        if not profile.count:
            raise MissingDataError("needs samples of the running server; there is none")
        return profile

    @cached_property
    def frames(self) -> Frames:
        """The same, asked for shares; netprobe's own programs are left out."""
        from netprobe.analysis.frames import Frames

        return Frames(self.profile)

    @cached_property
    def pollers(self) -> list[Poller]:
        """Threads that poll a device from user space; none where the Run cannot show them."""
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
        """CPU time that the server took: from samples by a clock, else as if each of its reactors had a CPU.

        0 where what was imported does not say.
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
        """This time in percent of the server's CPU time."""
        return 100 * nanoseconds / 1e9 / self.cpu_seconds if self.cpu_seconds else 0.0
