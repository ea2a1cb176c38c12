"""The figures of a comparison: `comparison.figures`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.analysis.compare.comparison import Comparison
from netprobe.errors import NetprobeError
from netprobe.render.figures.of_run import RunFigures, drawn

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from flamegraph.diff import Diff


class ComparisonFigures:
    """Figures of two sides as `plotly.graph_objects.Figure`; `.a` and `.b` have those of each side's (first) Run."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @cached_property
    def a(self) -> RunFigures:
        """Of side A."""
        return RunFigures(self._comparison.a.run)

    @cached_property
    def b(self) -> RunFigures:
        """Of side B."""
        return RunFigures(self._comparison.b.run)

    def changes(self, top: int = 25) -> go.Figure:
        """Numbers that changed, as B over A with their 95 % intervals; `top`: rows, 0 for all."""
        from netprobe.render.figures.changes import draw

        return drawn("changes", lambda: draw(self._comparison, top))

    def over_time(self) -> go.Figure:
        """Requests, system calls, switches and local messages of both sides on one time axis, in seconds."""
        from netprobe.render.figures.both_over_time import draw

        return drawn("over_time", lambda: draw(self._comparison))

    def flame(self) -> FlameDiff:
        """The difference of both sides' stacks. It shows itself; `.write("diff.html")` keeps it."""
        if not (self._comparison.a.has_profile and self._comparison.b.has_profile):
            raise NetprobeError("There is no figure flame: not both sides have stacks.")
        return FlameDiff(_stacks(self._comparison))

    def available(self) -> dict[str, str]:
        """Each figure with "" where there are data for it, else with why there are none."""
        found = {}
        for name in ("changes", "over_time", "flame"):
            try:
                getattr(self, name)()
            except NetprobeError as error:
                found[name] = error.message
            else:
                found[name] = ""
        return found


class FlameDiff:
    """A flame graph of two sides. `.diff` is the `flamegraph.diff.Diff`."""

    def __init__(self, diff: Diff) -> None:
        self.diff = diff

    def write(self, path: str | Path) -> None:
        """Write it as the file's ending says: .html or .svg."""
        from flamegraph.writers.registry import write_diff

        write_diff(self.diff, Path(path))

    def _repr_html_(self) -> str:
        from flamegraph.writers.html import render_diff
        from flamegraph.writers.options import WriteOptions
        from flamegraph.writers.page import framed

        return framed(render_diff(self.diff, WriteOptions(inverted=True)).decode(), 680)


def _stacks(comparison: Comparison) -> Diff:
    from flamegraph.diff import DiffOptions, diff
    from netprobe.analysis.compare.merging import merged

    a, b = comparison.a, comparison.b
    requests = (a.requests, b.requests) if comparison.per == "request" else (None, None)
    options = DiffOptions(
        per=comparison.per, requests_a=requests[0], requests_b=requests[1], name_a=a.name, name_b=b.name
    )
    return diff(merged(a.profiles), merged(b.profiles), options)
