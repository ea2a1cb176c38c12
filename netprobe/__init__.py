"""netprobe: finds out why a running network server is slower than the kernel allows.

import netprobe

run = netprobe.load("before")              # a Run that `netprobe record -o before` wrote
run.findings()                             # findings, with evidence and fix
run.table("syscalls")                      # any table, as a DataFrame
run.figures.locality()                     # figures, as plotly objects
netprobe.compare(run, netprobe.load("after")).changes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netprobe.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netprobe.errors import NetprobeError
    from netprobe.render.notebook.results import NotebookComparison as Comparison
    from netprobe.render.notebook.results import NotebookRun as Run
    from netprobe.run.model import Run as AnyRun

__all__ = ["Comparison", "NetprobeError", "Run", "__version__", "compare", "load"]

# Public name → module and name there.
_DEFINED_IN = {
    "Comparison": ("netprobe.render.notebook.results", "NotebookComparison"),
    "NetprobeError": ("netprobe.errors", "NetprobeError"),
    "Run": ("netprobe.render.notebook.results", "NotebookRun"),
}


def load(path: str | Path) -> Run:
    """Read a Run, the directory that `netprobe … -o PATH` wrote.

    A table is read when it is used first. Raises `NetprobeError` if there is no Run, or if its format version is
    unknown.
    """
    from netprobe.render.notebook.results import NotebookRun

    return NotebookRun.read(path)


def compare(a: AnyRun | Sequence[AnyRun], b: AnyRun | Sequence[AnyRun], per: str = "auto") -> Comparison:
    """Compare two Runs, or two series of repeated Runs.

    `per`: normalization of counts: "second", "request", or "auto": per request if both have the number of requests.
    The result has `.comparability_warnings`, `.changes` (a DataFrame), `.findings` and `.figures`.
    Raises `NetprobeError` if the two cannot be compared, `ValueError` for another `per`.
    """
    from netprobe.render.notebook.results import NotebookComparison

    return NotebookComparison.of(a, b, per)


def __getattr__(name: str) -> object:
    """Import a class when it is used first: `import netprobe` takes no time."""
    from importlib import import_module

    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'netprobe' has no attribute {name!r}")
    module, defined = _DEFINED_IN[name]
    return getattr(import_module(module), defined)


def __dir__() -> list[str]:
    return sorted(__all__)
