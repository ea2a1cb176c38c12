"""The counts of one Run, or of both sides of a comparison, on one time axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netprobe.analysis.compare.sides import exposure_of
from netprobe.analysis.time_series import (
    TimeAxis,
    busy_cpus,
    call_rates,
    local_share,
    machine_switch_rate,
    table_rate,
)
from netprobe.render.figures.syscalls import colors_of
from netprobe.render.figures.theme import BLUE, GREEN, GREY, ORANGE, RED, TEAL
from netprobe.render.figures.timeline import Lane, Row, time_axis_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.run.model import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.analysis.time_series import Floats

_CALLS = 5
_LOCAL = "Messages read on the CPU that received them"


def draw(context: RunContext, with_requests: bool = True) -> go.Figure:
    """Requests, system calls, switches, locality and busy CPUs of one Run, per second."""
    axis = time_axis_of(context.run)
    readers = _ROWS if with_requests else _ROWS[1:]
    rows = [row for reader in readers for row in reader(context.run, axis)]
    if not rows:
        raise MissingDataError("no table of the Run has counts by interval")
    return draw_rows(axis, rows, "Counts over time")


def requests(run: Run, axis: TimeAxis) -> Iterator[Row]:
    """Requests per second, if they are known for each interval."""
    exposure = exposure_of(run)
    if exposure.requests is not None and "messages" in run.tables:
        estimate = "estimate: " if exposure.estimated else ""
        title = f"Requests per second ({estimate}messages read from accepted connections)"
        yield Row(title, [Lane("requests", axis.per_second(exposure.requests), BLUE)])


def _calls(run: Run, axis: TimeAxis) -> Iterator[Row]:
    rates = call_rates(run, axis, _CALLS)
    colors = colors_of(rates)
    if rates:
        yield Row("System calls per second", [Lane(label(name), rate, colors[name]) for name, rate in rates.items()])


def _switches(run: Run, axis: TimeAxis) -> Iterator[Row]:
    voluntary, involuntary = (table_rate(run, axis, "switches", name) for name in ("voluntary", "involuntary"))
    if voluntary is not None and involuntary is not None:
        lanes = [Lane("voluntary", voluntary, TEAL), Lane("involuntary", involuntary, RED)]
        yield Row("Context switches per second", lanes)
        return
    machine = machine_switch_rate(run, axis)
    if machine is not None:
        yield Row("Context switches per second, whole machine", [Lane("switches", machine, TEAL)])


def _locality(run: Run, axis: TimeAxis) -> Iterator[Row]:
    share = local_share(run, axis)
    if share is not None:
        yield _local_row([Lane("local", share, GREEN)])


def _local_row(lanes: list[Lane]) -> Row:
    return Row(_LOCAL, lanes, suffix=" %", small=True, value_axis={"range": [-3, 103]})


def _cpu(run: Run, axis: TimeAxis) -> Iterator[Row]:
    busy = busy_cpus(run, axis)
    if busy is None:
        return
    named = zip(("server", "other threads on its CPUs"), busy, (ORANGE, GREY), strict=True)
    lanes = [Lane(name, values, color) for name, values, color in named if values.any()]
    yield Row("CPUs busy (from samples)", lanes, small=True)


_ROWS: tuple[Callable[[Run, TimeAxis], Iterator[Row]], ...] = (requests, _calls, _switches, _locality, _cpu)


# ---- Both sides of a comparison ----


def draw_both(comparison: Comparison) -> go.Figure:
    """Requests, system calls, switches and locality of A and B; of a series, those of its first Run."""
    runs = (comparison.a.run, comparison.b.run)
    axes = (time_axis_of(runs[0]), time_axis_of(runs[1]))
    rows = list(_rows_of_both(runs, axes))
    if not rows:
        raise MissingDataError("no table of both sides has counts by interval")
    longest = max(axes, key=lambda axis: axis.end_s)
    return draw_rows(longest, rows, "Both sides over time")


def _rows_of_both(runs: tuple[Run, Run], axes: tuple[TimeAxis, TimeAxis]) -> Iterator[Row]:
    for title, read in (
        ("Requests per second", _request_rate),
        ("System calls per second", lambda run, axis: table_rate(run, axis, "syscalls", "calls")),
        (
            "Context switches per second",
            lambda run, axis: table_rate(run, axis, "switches", "voluntary", "involuntary"),
        ),
        (_LOCAL, local_share),
    ):
        values = [read(run, axis) for run, axis in zip(runs, axes, strict=True)]
        lanes = [
            Lane(name, value, color, dash, axis)
            for (name, color, dash), value, axis in zip(_SIDES, values, axes, strict=True)
            if value is not None
        ]
        if len(lanes) == len(runs):
            yield _local_row(lanes) if read is local_share else Row(title, lanes)


_SIDES = (("A", ORANGE, "dot"), ("B", BLUE, "solid"))


def _request_rate(run: Run, axis: TimeAxis) -> Floats | None:
    exposure = exposure_of(run)
    return None if exposure.requests is None else axis.per_second(exposure.requests)
