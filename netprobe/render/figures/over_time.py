"""All that a Run counted by time interval, on one time axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.sides import clock_of as load_of
from netprobe.render.figures.label import label
from netprobe.render.figures.syscalls import colors_of
from netprobe.render.figures.theme import BLUE, GREEN, GREY, ORANGE, RED, TEAL
from netprobe.render.figures.timeline import Clock, Line, Row, clock_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.run.model import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.render.figures.timeline import Floats

_CALLS = 5


def draw(context: RunContext, with_requests: bool = True) -> go.Figure:
    """Requests, system calls, switches, locality and time on CPU by second."""
    clock = clock_of(context.run)
    readers = _ROWS if with_requests else _ROWS[1:]
    rows = [row for reader in readers for row in reader(context.run, clock)]
    if not rows:
        raise MissingDataError("nothing that was recorded has times")
    return draw_rows(clock, rows, "What was counted, over time")


def requests(run: Run, clock: Clock) -> Iterator[Row]:
    """Requests a second, where they are known by interval."""
    load = load_of(run)
    if load.requests is not None and "messages" in run.tables:
        about = "about, " if load.estimated else ""
        title = f"Requests a second ({about}messages read from accepted connections)"
        yield Row(title, [Line("requests", clock.per_second(load.requests), BLUE)])


def _calls(run: Run, clock: Clock) -> Iterator[Row]:
    if "syscalls" not in run.tables:
        return
    table = run.tables["syscalls"]
    totals: Counter[str] = Counter()
    for name, count in table.rows("syscall", "calls"):
        totals[name] += count
    lines = []
    shown = [name for name, _ in totals.most_common(_CALLS)]
    colors = colors_of(shown)
    for name in shown:
        rows = [
            (interval, count) for interval, call, count in table.rows("interval", "syscall", "calls") if call == name
        ]
        lines.append(Line(label(name), clock.rate(*_columns(rows)), colors[name]))
    if lines:
        yield Row("System calls a second", lines)


def _columns(rows: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    return [interval for interval, _ in rows], [float(count) for _, count in rows]


def _switches(run: Run, clock: Clock) -> Iterator[Row]:
    if "switches" not in run.tables:
        yield from _machine(run, clock)
        return
    columns = run.tables["switches"].columns
    yield Row(
        "Context switches a second",
        [
            Line("of its own will", clock.rate(columns["interval"], columns["voluntary"]), TEAL),
            Line("preempted", clock.rate(columns["interval"], columns["involuntary"]), RED),
        ],
    )


def _machine(run: Run, clock: Clock) -> Iterator[Row]:
    counts = np.asarray(run.tables["intervals"].columns.get("machine_switches", ()), np.float64)
    if len(counts) == len(clock.start_s) and np.isfinite(counts).all() and counts.any():
        line = Line("switches", clock.per_second(counts), TEAL)
        yield Row("Context switches a second, whole machine", [line])


def local_share(run: Run, clock: Clock) -> Floats:
    """Percent of the messages of each interval that were read where they were received; NaN without any."""
    local: Floats = np.zeros(len(clock.start_s))
    total: Floats = np.zeros(len(clock.start_s))
    for interval, received, read, count in run.tables["messages"].rows("interval", "rx_cpu", "cpu", "messages"):
        if received >= 0 and 0 <= interval < len(total):
            total[interval] += count
            local[interval] += count * (received == read)
    return np.divide(100 * local, total, out=np.full_like(total, np.nan), where=total > 0)


def _locality(run: Run, clock: Clock) -> Iterator[Row]:
    if "messages" not in run.tables or not len(run.tables["messages"]):
        return
    line = Line("local", local_share(run, clock), GREEN)
    yield Row("Messages read on the CPU that received them", [line], suffix=" %", small=True, axis={"range": [-3, 103]})


def _cpu(run: Run, clock: Clock) -> Iterator[Row]:
    from netprobe.run.profile import has_profile, read_profile

    if not has_profile(run.tables):
        return
    profile = read_profile(run.tables)
    info, samples = profile.info, profile.samples
    if info.unit != "ns" or not profile.count or info.intervals != len(clock.start_s):
        return
    named = [thread.pid > 0 for thread in profile.threads]
    own = np.array(named, bool)[samples.thread]
    lines = []
    for words, chosen, color in (("the server", own, ORANGE), ("others, in its place", ~own, GREY)):
        if chosen.any():
            busy = clock.rate(samples.interval[chosen], samples.weight[chosen] / 1e9)
            lines.append(Line(words, busy, color))
    yield Row("CPUs busy (from samples)", lines, small=True)


_ROWS: tuple[Callable[[Run, Clock], Iterator[Row]], ...] = (requests, _calls, _switches, _locality, _cpu)
