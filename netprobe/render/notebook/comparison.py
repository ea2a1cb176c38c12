"""A comparison with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netprobe.analysis.compare import comparison
from netprobe.run.model import Run

if TYPE_CHECKING:
    from netprobe.render.figures.of_comparison import ComparisonFigures


class Comparison(comparison.Comparison):
    """What differs between two sides, what changed, what that means, and figures. In a notebook it shows itself."""

    @classmethod
    def of(cls, a: Run | Sequence[Run], b: Run | Sequence[Run], per: str = "auto") -> Comparison:
        """Compare two Runs, or two series of Runs."""
        from netprobe.rules.evaluated import evaluated

        found = comparison.compare_sides(*comparison.sides_of(a, b), per, evaluated)
        return cls(**{one.name: getattr(found, one.name) for one in fields(found)})

    @cached_property
    def figures(self) -> ComparisonFigures:
        """Figures as plotly objects: `comparison.figures.changes()`; those of the sides: `comparison.figures.a` …"""
        from netprobe.render.figures.of_comparison import ComparisonFigures

        return ComparisonFigures(self)

    def __repr__(self) -> str:
        return f"<Comparison per {self.per}: {len(self.changed)} of {len(self.rows)} numbers changed>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from netprobe.render.notebook.face import of_comparison

        return {"text/plain": repr(self), "text/html": of_comparison(self)}
