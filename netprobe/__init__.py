"""netprobe: finds, on a running network server, why it is slower than the kernel allows.

import netprobe

run = netprobe.load("before")              # what `netprobe record -o before` wrote
run.findings()                             # what is wrong, with evidence and fix
run.table("syscalls")                      # any table, as a DataFrame
run.figures.locality()                     # figures, as plotly objects
netprobe.compare(run, netprobe.load("after")).changes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netprobe.errors import NetprobeError
    from netprobe.render.notebook.comparison import Comparison
    from netprobe.render.notebook.run import Run
    from netprobe.run.model import Run as AnyRun

__version__ = "0.1.0"
__all__ = ["Comparison", "NetprobeError", "Run", "__version__", "compare", "load"]

_HOMES = {
    "Comparison": "netprobe.render.notebook.comparison",
    "NetprobeError": "netprobe.errors",
    "Run": "netprobe.render.notebook.run",
}


def load(path: str | Path) -> Run:
    """Read a Run, the directory that `netprobe … -o PATH` wrote.

    Its tables are read when they are used. Raises `NetprobeError` if there is none, or one of an unknown format
    version.
    """
    from netprobe.render.notebook.run import Run

    return Run.read(path)


def compare(a: AnyRun | Sequence[AnyRun], b: AnyRun | Sequence[AnyRun], per: str = "auto") -> Comparison:
    """Compare two Runs, or two series of Runs of the same thing: what differs, what changed, what that means.

    `per`: what counts are divided by: "second", "request", or "auto" for requests where both sides know them.
    `.comparable`, `.changes` (a DataFrame), `.findings` and `.figures` have the result. Raises `NetprobeError`
    where the two cannot be compared, `ValueError` for another `per`.
    """
    from netprobe.render.notebook.comparison import Comparison

    return Comparison.of(a, b, per)


def __getattr__(name: str) -> object:
    """Classes are imported on first use: `import netprobe` costs nothing."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'netprobe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
