"""What keeps this machine from giving steady numbers: as pyperf sees it, and as it was while something ran."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PYPERF_SECONDS = 20.0
_STEAL = 7  # in the first line of /proc/stat
# It is for timing without sampling; netprobe samples.
_NOT_FOR_US = ("Perf event:",)


@dataclass(frozen=True)
class CpuTimes:
    """Of all CPUs, since boot, in clock ticks."""

    total: int
    steal: int
    """Wanted by this machine, and given to others by the host that it is a guest of."""

    @classmethod
    def now(cls) -> CpuTimes:
        """What /proc/stat says."""
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        except (OSError, ValueError):
            return cls(0, 0)
        return cls(sum(ticks[:8]), ticks[_STEAL] if len(ticks) > _STEAL else 0)

    def stolen_pct(self, later: CpuTimes) -> float:
        """Share of the CPU time since that the host took away, in percent."""
        total = later.total - self.total
        return 100 * (later.steal - self.steal) / total if total > 0 else 0.0


def advice() -> list[str]:
    """What `pyperf system show` advises on this machine; a sentence where that cannot be asked."""
    command = [sys.executable, "-m", "pyperf", "system", "show"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PYPERF_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ["`pyperf system show` gave no answer."]
    return [line for line in _section(done.stdout, "Advices") if not line.startswith(_NOT_FOR_US)]


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
    """Threads that wanted a CPU in the last minute, by CPU."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
