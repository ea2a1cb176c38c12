"""Command lines of other tools, made to work where tracefs is not mounted and kernel headers are not installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from netprobe.resources import resource

# In a mount namespace of the tool's own: the host stays as it was.
_WITH_TRACEFS = ("unshare", "-m", "sh", "-c", 'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh")


def with_tracefs(*command: str) -> list[str]:
    """The command with tracefs mounted for it alone."""
    return [*_WITH_TRACEFS, *command]


def headers_for_syscount(folder: Path) -> Path:
    """netprobe's headers and the one more that bcc's syscount includes, in `folder`."""
    shutil.copytree(resource("bpf") / "include", folder / "include")
    (folder / "include/linux/sched.h").write_text("#define TASK_COMM_LEN 16\n")
    return folder
