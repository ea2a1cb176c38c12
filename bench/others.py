"""Command lines of other tools, for systems without a mounted tracefs and without kernel headers."""

from __future__ import annotations

import shutil
from pathlib import Path

from netprobe.resources import resource

# In a separate mount namespace: the host is not changed.
_WITH_TRACEFS = ("unshare", "-m", "sh", "-c", 'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh")


def with_tracefs(*command: str) -> list[str]:
    """The command with tracefs in its own mount namespace."""
    return [*_WITH_TRACEFS, *command]


def headers_for_syscount(folder: Path) -> Path:
    """netprobe's headers in `folder`, with an additional header that bcc's syscount includes."""
    shutil.copytree(resource("bpf") / "include", folder / "include")
    (folder / "include/linux/sched.h").write_text("#define TASK_COMM_LEN 16\n")
    return folder
