"""Observe the CPU limits of the target's cgroups: quota, and how often it throttled the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program


@dataclass(frozen=True)
class CpuLimit:
    """Quota and period in microseconds, and the counters of cpu.stat. Throttled time is summed over CPUs."""

    quota_us: int
    period_us: int
    periods: int
    throttled: int
    throttled_ns: int


def observer(options: RecordOptions) -> CgroupObserver:
    """The observer of a recording."""
    return CgroupObserver()


class CgroupObserver:
    """Snapshots of the cgroups with a quota at start and stop, those above the target's cgroup included."""

    probe = ""

    def __init__(self) -> None:
        self._before: dict[str, CpuLimit] = {}
        self._after: dict[str, CpuLimit] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        self._before = read_limits(
            {thread.pid for thread in threads if thread.tid} | ({suspended} if suspended else set())
        )

    def mark(self) -> None:
        """Counters are read at start and stop only: periods are longer than most sampling windows."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Kept in case that the target exits."""
        self._after |= read_limits({thread.pid for thread in threads if thread.tid and not thread.exit_ns})

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`cpu_limits`."""
        rows = []
        for path, after in sorted(self._after.items()):
            before = self._before.get(path, CpuLimit(0, 0, 0, 0, 0))
            rows.append(
                (
                    path,
                    after.quota_us,
                    after.period_us,
                    after.periods - before.periods,
                    after.throttled - before.throttled,
                    after.throttled_ns - before.throttled_ns,
                )
            )
        return [table_of_rows("cpu_limits", rows)]


def read_limits(pids: Iterable[int]) -> dict[str, CpuLimit]:
    """Path of each cgroup with a CPU quota that one of the processes is in, or that is above it → its limit."""
    found = {}
    for folder in {folder for pid in pids for folder in _folders(pid)}:
        limit = _limit_v2(folder) if (folder / "cpu.max").exists() else _limit_v1(folder)
        if limit is not None:
            found[str(folder)] = limit
    return found


def _folders(pid: int) -> list[Path]:
    """The directories of a process's cgroup of the cpu controller and of those above it; none if it is not mounted."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in _mounts("cpu" if controllers else ""):
            folder = mount / path.lstrip("/")
            folders += [one for one in (folder, *folder.parents) if one != mount and mount in one.parents]
    return folders


def _mounts(controller: str) -> list[Path]:
    """Where the cpu controller of cgroup v1 (or, with an empty name, cgroup v2) is mounted."""
    found = []
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        _, folder, kind, options, *_ = line.split()
        v2, v1 = kind == "cgroup2", kind == "cgroup" and controller in options.split(",")
        if v1 if controller else v2:
            found.append(Path(folder))
    return found


def _limit_v2(folder: Path) -> CpuLimit | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else _limit(folder, int(quota), int(period))


def _limit_v1(folder: Path) -> CpuLimit | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota < 0 else _limit(folder, quota, period)


def _limit(folder: Path, quota_us: int, period_us: int) -> CpuLimit | None:
    try:
        stat = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    throttled_ns = int(stat.get("throttled_time", 0)) or 1000 * int(stat.get("throttled_usec", 0))
    return CpuLimit(quota_us, period_us, int(stat.get("nr_periods", 0)), int(stat.get("nr_throttled", 0)), throttled_ns)
