"""netprobe: finds, on a running network server, why it is slower than the kernel allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from netprobe.run.model import Run

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: str | Path) -> Run:
    """Read a Run that `netprobe … -o PATH` wrote.

    Raises `netprobe.errors.NetprobeError` if there is none, or one of an unknown format version.
    """
    from netprobe.run.store import read_run

    return read_run(path)
