"""The figures of a comparison: `comparison.figures`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.analysis.compare.comparison import Comparison
from netprobe.errors import NetprobeError
from netprobe.render.figures.run_figures import RunFigures, drawn

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from flamegraph.diff import Diff


class ComparisonFigures:
    """Figures of a comparison as `plotly.graph_objects.Figure`; `flamegraph()` alone has a viewer of its own.

    `.a` and `.b` have the figures of each side's (first) Run.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @cached_property
    def a(self) -> RunFigures:
        """Figures of side A."""
        return RunFigures(self._comparison.a.run)

    @cached_property
    def b(self) -> RunFigures:
        """Figures of side B."""
        return RunFigures(self._comparison.b.run)

    def changes(self, top: int = 25) -> go.Figure:
        """Metrics that changed, as B / A with 95 % confidence intervals; `top`: number of rows, 0 for all."""
        from netprobe.render.figures.changes import draw

        return drawn("changes", lambda: draw(self._comparison, top))

    def over_time(self) -> go.Figure:
        """Requests, system calls, context switches and local messages of both sides on one time axis."""
        from netprobe.render.figures.over_time import draw_both

        return drawn("over_time", lambda: draw_both(self._comparison))

    def flamegraph(self) -> FlameDiff:
        """The difference of both sides' stacks, which a notebook shows as an interactive flame graph.

        `.write("diff.html")` writes it to a file.
        """
        if not (self._comparison.a.has_profile and self._comparison.b.has_profile):
            raise NetprobeError("There is no figure flamegraph: not both sides have stacks.")
        return FlameDiff(_stacks(self._comparison))

    def available(self) -> dict[str, str]:
        """Each figure with "" if it can be drawn, else with the reason why not."""
        found = {}
        for name in ("changes", "over_time", "flamegraph"):
            try:
                getattr(self, name)()
            except NetprobeError as error:
                found[name] = error.message
            else:
                found[name] = ""
        return found


class FlameDiff:
    """A differential flame graph. `.diff` is the `flamegraph.diff.Diff`."""

    def __init__(self, diff: Diff) -> None:
        self.diff = diff

    def write(self, path: str | Path) -> None:
        """Write it in the format of the file's suffix: .html or .svg."""
        from flamegraph.writers import write_diff

        write_diff(self.diff, Path(path))

    def _repr_html_(self) -> str:
        from flamegraph.writers import WriteOptions
        from flamegraph.writers.html import render_diff
        from flamegraph.writers.html_page import framed

        return framed(render_diff(self.diff, WriteOptions(inverted=True)).decode(), 680)


def _stacks(comparison: Comparison) -> Diff:
    from flamegraph.diff import DiffOptions, diff
    from netprobe.analysis.compare.functions import merged

    a, b = comparison.a, comparison.b
    requests = (a.requests, b.requests) if comparison.per == "request" else (None, None)
    options = DiffOptions(
        per=comparison.per, requests_a=requests[0], requests_b=requests[1], name_a=a.name, name_b=b.name
    )
    return diff(merged(a.profiles), merged(b.profiles), options)
