"""Two sides over time, on one axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.sides import clock_of as load_of
from netprobe.render.figures.over_time import local_share
from netprobe.render.figures.theme import BLUE, ORANGE
from netprobe.render.figures.timeline import Clock, Line, Row, clock_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.rules.context import MissingDataError

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.render.figures.timeline import Floats
    from netprobe.run.model import Run

_LOOKS = (("A", ORANGE, "dot"), ("B", BLUE, "solid"))


def draw(comparison: Comparison) -> go.Figure:
    """Requests, calls, switches and locality of A and of B; of a series its first Run."""
    runs = (comparison.a.run, comparison.b.run)
    clocks = (clock_of(runs[0]), clock_of(runs[1]))
    rows = list(_rows(runs, clocks))
    if not rows:
        raise MissingDataError("the two have nothing in common that has times")
    longest = max(clocks, key=lambda clock: clock.end_s)
    return draw_rows(longest, rows, "Both sides over time")


def _rows(runs: tuple[Run, Run], clocks: tuple[Clock, Clock]) -> Iterator[Row]:
    for title, read in (
        ("Requests a second", _requests),
        ("System calls a second", _calls),
        ("Context switches a second", _switches),
        ("Messages read on the CPU that received them", _local),
    ):
        values = [read(run, clock) for run, clock in zip(runs, clocks, strict=True)]
        lines = [
            Line(name, value, color, dash, clock)
            for (name, color, dash), value, clock in zip(_LOOKS, values, clocks, strict=True)
            if value is not None
        ]
        if len(lines) < 2:
            continue
        if read is _local:
            yield Row(title, lines, suffix=" %", small=True, axis={"range": [-3, 103]})
        else:
            yield Row(title, lines)


def _requests(run: Run, clock: Clock) -> Floats | None:
    load = load_of(run)
    return None if load.requests is None else clock.per_second(load.requests)


def _calls(run: Run, clock: Clock) -> Floats | None:
    return _sum(run, clock, "syscalls", "calls")


def _switches(run: Run, clock: Clock) -> Floats | None:
    return _sum(run, clock, "switches", "voluntary", "involuntary")


def _sum(run: Run, clock: Clock, table: str, *columns: str) -> Floats | None:
    if table not in run.tables:
        return None
    found = run.tables[table].columns
    total: Floats = np.sum([clock.rate(found["interval"], found[name]) for name in columns], axis=0)
    return total


def _local(run: Run, clock: Clock) -> Floats | None:
    if "messages" not in run.tables or not len(run.tables["messages"]):
        return None
    return local_share(run, clock)
