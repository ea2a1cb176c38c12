"""What the kernel counts for the whole machine anyway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MachineCounters:
    """Cumulative, since boot: context switches and forks of the whole machine (`ctxt`, `processes`)."""

    switches: int
    forks: int


def read_machine(path: str = "/proc/stat") -> MachineCounters:
    """The counters that `sar -w` shows as rates."""
    fields = {}
    with open(path) as file:
        for line in file:
            name, _, rest = line.partition(" ")
            if name in ("ctxt", "processes"):
                fields[name] = int(rest)
    return MachineCounters(fields["ctxt"], fields["processes"])


def possible_cpus() -> int:
    """How many CPUs the kernel could ever have here: per-CPU maps have a value for each."""
    with open("/sys/devices/system/cpu/possible") as file:
        last = file.read().strip().replace(",", "-").split("-")[-1]
    return int(last) + 1
