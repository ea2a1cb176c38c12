"""This machine: its description for a Run, its CPUs, and the kernel's own counters for all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.probes.base import MachineCounts

if TYPE_CHECKING:
    from netprobe.run.description import HostInfo


def describe_host() -> HostInfo:
    """Host name, kernel, boot parameters, CPUs and memory."""
    from netprobe.run.description import HostInfo

    system = os.uname()
    return HostInfo(
        hostname=system.nodename,
        kernel=system.release,
        kernel_version=system.version,
        architecture=system.machine,
        boot_parameters=_read("/proc/cmdline"),
        cpus_online=_read("/sys/devices/system/cpu/online"),
        cpu_model=_first_field("/proc/cpuinfo", "model name"),
        memory_kib=int(_first_field("/proc/meminfo", "MemTotal").split()[0] or 0),
        page_size=os.sysconf("SC_PAGE_SIZE"),
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="backslashreplace").strip()
    except OSError:
        return ""


def _first_field(path: str, name: str) -> str:
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def read_machine(path: str = "/proc/stat") -> MachineCounts:
    """The counts since boot: `ctxt` and `processes`, which `sar -w` shows as rates, idle and stolen time."""
    fields: dict[str, list[int]] = {}
    with open(path) as file:
        for line in file:
            name, _, rest = line.partition(" ")
            if name in ("ctxt", "processes", "cpu"):
                fields[name] = [int(word) for word in rest.split()]
    # user, nice, system, idle, iowait, irq, softirq, steal, … in clock ticks (proc_stat(5))
    ticks = fields.get("cpu", []) + [0] * 8
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return MachineCounts(fields["ctxt"][0], fields["processes"][0], (ticks[3] + ticks[4]) * tick_ns, ticks[7] * tick_ns)


def possible_cpus() -> int:
    """How many CPUs the kernel could ever have here: per-CPU maps have a value for each."""
    with open("/sys/devices/system/cpu/possible") as file:
        last = file.read().strip().replace(",", "-").split("-")[-1]
    return int(last) + 1
