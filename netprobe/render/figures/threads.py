"""Where the time of threads goes, over time: stacked bars per interval, a row per role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netprobe.analysis.time_budget import TimeBudget
from netprobe.render.figures.theme import BLUE, GREEN, GREY, ORANGE, PINK, RED, SERIES, TEAL, VIOLET, figure
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

_ROLES, _SLEEPS, _ROW_PX = 4, 4, 150
_USER, _KERNEL, _FAULT, _INTERRUPT = "user", "kernel", "page fault", "interrupts"
_RUNNING, _WAITING, _OTHER = "running", "waiting for a CPU", "asleep in other calls"
_COLORS = {
    _USER: BLUE, _KERNEL: ORANGE, _FAULT: PINK, _INTERRUPT: VIOLET, _RUNNING: BLUE, _WAITING: RED, _OTHER: GREY,
}  # fmt: skip
_SLEEP_COLORS = (TEAL, GREEN, *SERIES[::-1])

_Cells = dict[int, Counter[str]]


def draw(context: RunContext) -> go.Figure:
    """Share of the time of each role in percent, by state and interval; the role that handles the messages is first."""
    import plotly.graph_objects as go

    roles = _roles(context)
    cells = [_by_interval(context, role) for role in roles]
    starts = dict(context.run.tables["intervals"].rows("interval", "start_s"))
    widths = dict(context.run.tables["intervals"].rows("interval", "duration_s"))
    drawn = figure(90 + _ROW_PX * len(roles))
    sleeps = _sleeps(roles)
    parts = [_USER, _KERNEL, _FAULT, _INTERRUPT, _RUNNING, _WAITING, *sleeps, _OTHER]
    colors = _COLORS | dict(zip(sleeps, _SLEEP_COLORS, strict=False))
    shown: set[str] = set()
    for row, by_interval in enumerate(cells):
        axis = "" if not row else str(row + 1)
        numbers = sorted(by_interval)
        for part in parts:
            values = [by_interval[number][part] for number in numbers]
            if not any(values):
                continue
            name = part if part in _COLORS else f"asleep in {part}"
            drawn.add_trace(
                go.Bar(
                    x=[starts[number] + widths[number] / 2 for number in numbers],
                    width=[widths[number] for number in numbers],
                    y=values,
                    name=name,
                    legendgroup=name,
                    showlegend=name not in shown,
                    marker={"color": colors[part], "line": {"width": 0}},
                    xaxis="x",
                    yaxis=f"y{axis}",
                    hovertemplate=f"{name}: %{{y:.1f}} %<extra>{label(roles[row].thread, 40)}</extra>",
                )
            )
            shown.add(name)
        top, bottom = 1 - row / len(roles), 1 - (row + 1) / len(roles)
        drawn.update_layout(
            {
                f"yaxis{axis}": {
                    "domain": [bottom + 0.08 / len(roles), top - 0.16 / len(roles)],
                    "range": [0, 100],
                    "ticksuffix": " %",
                    "tickvals": [0, 50, 100],
                    "zeroline": False,
                }
            }
        )
        count = len(roles[row].tids)
        drawn.add_annotation(
            x=0, xref="paper", xanchor="left", y=top - 0.14 / len(roles), yref="paper", yanchor="bottom",
            showarrow=False, text=f"<b>{label(roles[row].thread, 60)}</b> ({count} thread{'' if count == 1 else 's'})",
        )  # fmt: skip
    drawn.update_layout(
        barmode="stack",
        bargap=0,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left", "traceorder": "normal"},
        xaxis={"title": {"text": "seconds"}, "zeroline": False, "anchor": f"y{'' if len(roles) == 1 else len(roles)}"},
        meta={"alt": "Time of threads by state and interval, a row per role"},
    )
    return drawn


def _roles(context: RunContext) -> Sequence[TimeBudget]:
    serving = context.saturation
    if serving is None:
        raise MissingDataError("no thread was seen")
    others = [row for row in context.time_budgets if not row.tids & serving.role.tids and row.running_ns]
    return [serving.role, *others[: _ROLES - 1]]


def _sleeps(roles: Sequence[TimeBudget]) -> list[str]:
    total: Counter[str] = Counter()
    for role in roles:
        total.update({name: sleep.total_ns for name, sleep in role.sleeps.items()})
    return [name for name, _ in total.most_common(_SLEEPS)]


def _by_interval(context: RunContext, role: TimeBudget) -> _Cells:
    """Interval → state → share of the time for which the threads were alive, in percent."""
    tables = context.run.tables
    known = set(_sleeps(_roles(context)))
    found: _Cells = {}
    alive: Counter[int] = Counter()
    running: Counter[int] = Counter()
    for interval, pid, tid, state, reason, ns in tables["thread_time"].rows(
        "interval", "pid", "tid", "state", "reason", "total_ns"
    ):
        if (pid, tid) not in role.tids:
            continue
        cell = found.setdefault(interval, Counter())
        if state == "alive":
            alive[interval] += ns
        elif state == "running":
            running[interval] += ns
        elif state == "runnable":
            cell[_WAITING] += ns
        else:
            cell[reason if reason in known else _OTHER] += ns
    _split_running(context, role, found, running)
    return {
        interval: Counter({part: 100 * ns / alive[interval] for part, ns in cell.items()})
        for interval, cell in found.items()
        if alive[interval]
    }


def _split_running(context: RunContext, role: TimeBudget, found: _Cells, running: Counter[int]) -> None:
    """Divide the running time of each interval by its samples; without samples it stays whole."""
    modes: dict[int, Counter[str]] = {}
    if "sample_modes" in context.run.tables:
        for interval, pid, tid, user, kernel, fault, interrupt in context.run.tables["sample_modes"].rows(
            "interval", "pid", "tid", "user", "kernel", "page_fault", "interrupt"
        ):
            if (pid, tid) in role.tids:
                counts = {_USER: user, _KERNEL: kernel, _FAULT: fault, _INTERRUPT: interrupt}
                modes.setdefault(interval, Counter()).update(counts)
    for interval, ns in running.items():
        counts = modes.get(interval, Counter())
        if total := counts.total():
            found[interval].update({mode: round(ns * count / total) for mode, count in counts.items()})
        else:
            found[interval][_RUNNING] += ns
