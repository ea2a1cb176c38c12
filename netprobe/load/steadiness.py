"""Conditions that make measurements on this machine vary: pyperf's advice, other load, and CPU time that was stolen."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PYPERF_SECONDS = 20.0
_STEAL = 7  # in the first line of /proc/stat
# This advice is for timing without sampling; netprobe samples.
_SKIPPED_ADVICE = ("Perf event:",)


@dataclass(frozen=True)
class CpuTimes:
    """CPU time of all CPUs since boot, in clock ticks."""

    total: int
    steal: int
    """Time in which this virtual machine was ready to run and its host ran something else."""

    @classmethod
    def now(cls) -> CpuTimes:
        """The values in /proc/stat."""
        try:
            ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        except (OSError, ValueError):
            return cls(0, 0)
        return cls(sum(ticks[:8]), ticks[_STEAL] if len(ticks) > _STEAL else 0)

    def stolen_pct(self, later: CpuTimes) -> float:
        """Percentage of the CPU time between two snapshots that the host took away."""
        total = later.total - self.total
        return 100 * (later.steal - self.steal) / total if total > 0 else 0.0


def advice() -> list[str]:
    """The advice of `pyperf system show` for this machine, or a sentence that there is no answer."""
    command = [sys.executable, "-m", "pyperf", "system", "show"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PYPERF_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ["`pyperf system show` gave no answer."]
    return [line for line in _section(done.stdout, "Advices") if not line.startswith(_SKIPPED_ADVICE)]


def _section(text: str, heading: str) -> list[str]:
    lines = text.splitlines()
    if heading not in lines:
        return []
    found: list[str] = []
    for line in lines[lines.index(heading) + 2 :]:
        if line and found and not line.strip("="):
            return found[:-1]
        if line.strip() and not line.startswith("Run "):
            found.append(line.strip())
    return found


def load_per_cpu() -> float:
    """Load average of the last minute, per CPU."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
