"""A Run with what the layers above its data make of it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.run import model
from netprobe.run.store import read_run

if TYPE_CHECKING:
    from netprobe.render.figures.of_run import RunFigures
    from netprobe.rules.context import RunContext
    from netprobe.rules.finding import Finding, Result


class Run(model.Run):
    """What one recording measured, what that says of the server, and its figures.

    `info`: how it was taken (run.json). `tables`: its tables by name; `table(name)` gives one as a DataFrame.
    In a notebook it shows itself.
    """

    @classmethod
    def read(cls, path: str | Path) -> Run:
        """Read a Run from its directory. Raises `netprobe.NetprobeError` if there is none."""
        read = read_run(path)
        return cls(read.info, read.tables, Path(path))

    @cached_property
    def _context(self) -> RunContext:
        from netprobe.rules.context import RunContext

        return RunContext(self)

    def results(self) -> list[Result]:
        """What every rule says: findings first, the most costly first; then what cannot be told; then what is clear."""
        from netprobe.rules.registry import evaluate

        return evaluate(self)

    def findings(self) -> list[Finding]:
        """What is wrong, the most costly first: code, severity, claim, evidence, why, fix, source, cost_pct."""
        from netprobe.rules.registry import findings

        return findings(self)

    @cached_property
    def figures(self) -> RunFigures:
        """Figures as plotly objects: `run.figures.locality()` …"""
        from netprobe.render.figures.of_run import RunFigures

        return RunFigures(self, self._context)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from netprobe.render.notebook.face import of_run

        return {"text/plain": repr(self), "text/html": of_run(self)}
