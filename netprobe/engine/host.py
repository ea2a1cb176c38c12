"""The machine that a Run was recorded on."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from netprobe.run.description import HostInfo


def describe_host() -> HostInfo:
    """Host name, kernel, boot parameters, CPUs and memory."""
    return HostInfo(
        hostname=socket.gethostname(),
        kernel=platform.release(),
        kernel_version=platform.version(),
        architecture=platform.machine(),
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
