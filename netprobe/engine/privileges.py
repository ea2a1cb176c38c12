"""Checks of privileges, made before a recording starts so that the error is a clear one."""

from __future__ import annotations

import os
import sys

from netprobe.errors import NotPossibleHereError

# include/uapi/linux/capability.h
_SYS_PTRACE, _SYS_ADMIN, _PERFMON, _BPF = 19, 21, 38, 39


def effective_capabilities(status: str = "/proc/self/status") -> int:
    """Bit mask of this process's effective capabilities."""
    with open(status) as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def require_tracing() -> None:
    """Raise `NotPossibleHereError` unless netprobe may load BPF programs and inspect other processes."""
    if sys.platform != "linux":
        raise NotPossibleHereError(
            "Recording needs Linux.", hint="Record on the server, and read the Run here with netprobe.load()."
        )
    if os.uname().machine != "x86_64":
        raise NotPossibleHereError(
            f"netprobe records on x86-64 only so far; this machine is {os.uname().machine}.",
            hint="A Run recorded elsewhere can be read here.",
        )
    held = effective_capabilities()
    if held >> _SYS_ADMIN & 1:
        return
    needed = {"CAP_BPF": _BPF, "CAP_PERFMON": _PERFMON, "CAP_SYS_PTRACE": _SYS_PTRACE}
    missing = [name for name, bit in needed.items() if not held >> bit & 1]
    if missing:
        user = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
        raise NotPossibleHereError(
            f"netprobe runs as {user} without {', '.join(missing)}, so the kernel does not let it load its "
            "tracing programs.",
            hint="Run it as root (sudo), or give it CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE "
            "(in a container: --cap-add, or --privileged).",
        )
