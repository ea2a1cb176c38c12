"""A Run and a comparison with findings and figures, which a notebook displays as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.analysis.compare.comparison import Comparison, compare_sides, sides_of
from netprobe.run.model import Run
from netprobe.run.store import read_run

if TYPE_CHECKING:
    from netprobe.render.figures.comparison_figures import ComparisonFigures
    from netprobe.render.figures.run_figures import RunFigures
    from netprobe.rules.finding import Finding, Result


class NotebookRun(Run):
    """A recording: its tables, findings and figures.

    `info` has the recording details (run.json), `tables` the tables by name; `table(name)` returns one as a DataFrame.
    A notebook displays the object as HTML.
    """

    @classmethod
    def read(cls, path: str | Path) -> NotebookRun:
        """Read a Run from its directory. Raises `netprobe.NetprobeError` if there is none."""
        read = read_run(path)
        return cls(read.info, read.tables, Path(path))

    def results(self) -> list[Result]:
        """The result of each rule: findings (the most costly first), inconclusive results, passes."""
        from netprobe.rules.context import context_of
        from netprobe.rules.registry import evaluate

        return evaluate(context_of(self))

    def findings(self) -> list[Finding]:
        """Findings, the most costly first: code, severity, summary, evidence, why_it_matters, fix, source, cost_pct."""
        from netprobe.rules.context import context_of
        from netprobe.rules.registry import findings

        return findings(context_of(self))

    @cached_property
    def figures(self) -> RunFigures:
        """Figures as plotly objects: `run.figures.locality()` …"""
        from netprobe.render.figures.run_figures import RunFigures

        return RunFigures(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from netprobe.render.notebook.display import run_html

        return {"text/plain": repr(self), "text/html": run_html(self)}


class NotebookComparison(Comparison):
    """Comparability warnings, changes, findings and figures of two sides. A notebook displays it as HTML."""

    @classmethod
    def of(cls, a: Run | Sequence[Run], b: Run | Sequence[Run], per: str = "auto") -> NotebookComparison:
        """Compare two Runs, or two series of Runs."""
        from netprobe.rules.registry import rule_results

        found = compare_sides(*sides_of(a, b), per, rule_results)
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    @cached_property
    def figures(self) -> ComparisonFigures:
        """Figures as plotly objects: `comparison.figures.changes()` …; those of the sides: `comparison.figures.a`."""
        from netprobe.render.figures.comparison_figures import ComparisonFigures

        return ComparisonFigures(self)

    def __repr__(self) -> str:
        return f"<Comparison per {self.per}: {len(self.changed)} of {len(self.rows)} metrics changed>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from netprobe.render.notebook.display import comparison_html

        return {"text/plain": repr(self), "text/html": comparison_html(self)}
