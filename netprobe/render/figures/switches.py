"""Context switches by thread and next task."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from netprobe.render.figures.theme import figure, note, scale
from netprobe.render.safe import label, thread_labels
from netprobe.render.units import percent
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.switches import SwitchRow

_ROLES, _SUCCESSORS = 16, 6
_IDLE, _REST = "(idle)", "(others)"


def draw(context: RunContext, fold: bool = True) -> go.Figure:
    """Two heat maps of thread (rows) and next task (columns): involuntary and voluntary switches per second.

    `fold`: threads of one role are one row (`timer-0`, `timer-1` → `timer-N`).
    """
    known = [row for row in (context.switches if fold else context.switches_by_thread) if row.switches]
    rows = known[:_ROLES]
    if not rows:
        raise MissingDataError("no context switch was seen")
    preempted, yielded = _columns([row.preempted_by for row in rows]), _columns([row.followed_by for row in rows])
    idle = any(row.to_idle for row in rows)
    drawn = figure(150 + 34 * len(rows))
    # NaN if an imported report has no duration.
    seconds, unit = (context.run.seconds, "times per second") if context.run.seconds > 0 else (1.0, "times in total")
    _panel(drawn, rows, preempted, "x", ("bad", "preempted by", unit), seconds, [row.preempted_by for row in rows])
    voluntary = [row.followed_by + Counter({_IDLE: row.to_idle}) for row in rows]
    names = [*yielded, *([_IDLE] if idle else [])]
    _panel(drawn, rows, names, "x2", ("plain", "switched voluntarily to", unit), seconds, voluntary)
    _lay_out(drawn, rows, len(preempted), len(names), fold)
    if len(known) > len(rows):
        rest = percent(sum(row.switches for row in known[_ROLES:]), sum(row.switches for row in known))
        note(drawn, f"and {len(known) - _ROLES:,} more threads, with {rest} % of the switches")
    return drawn


def _columns(counts: list[Counter[str]]) -> list[str]:
    total: Counter[str] = Counter()
    for tasks in counts:
        total.update(+tasks)
    names = [name for name, _ in total.most_common(_SUCCESSORS)]
    return [*names, _REST] if len(total) > len(names) else names


def _shown(tasks: Counter[str], names: list[str]) -> Counter[str]:
    """Counts with all tasks that have no column of their own added up."""
    rest = sum(count for name, count in tasks.items() if name not in names)
    return tasks + Counter({_REST: rest}) if _REST in names and rest else tasks


def _panel(
    drawn: go.Figure,
    rows: list[SwitchRow],
    names: list[str],
    axis: str,
    look: tuple[str, str, str],
    seconds: float,
    counts: list[Counter[str]],
) -> None:
    import plotly.graph_objects as go

    shade, relation, unit = look
    values = [[_shown(tasks, names)[name] / seconds or None for name in names] for tasks in counts]
    # Switches to idle displace no other task, and their number would flatten the colour scale of the rest.
    most = max(
        (value or 0 for row in values for value, name in zip(row, names, strict=True) if name != _IDLE), default=0
    )
    empty = [[0] * max(len(names), 1) for _ in rows]
    drawn.add_trace(go.Heatmap(z=empty, xaxis=axis, xgap=2, ygap=2, hoverinfo="skip", **scale("empty")))
    drawn.add_trace(
        go.Heatmap(
            z=values, xaxis=axis, zmin=0, zmax=most or 1, xgap=2, ygap=2, hoverongaps=False,
            name=relation,
            text=[[_short(value) for value in row] for row in values], texttemplate="%{text}", textfont={"size": 11},
            customdata=[[[label(row.thread), label(name)] for name in names] for row in rows],
            hovertemplate=f"<b>%{{customdata[0]}}</b> {relation} <b>%{{customdata[1]}}</b><br>"
            f"%{{z:,.1f}} {unit}<extra></extra>",
            **scale(shade),
        )
    )  # fmt: skip
    drawn.update_layout(
        {
            f"xaxis{axis[1:]}": {
                "tickmode": "array", "tickvals": list(range(len(names))),
                "ticktext": [label(name, 22) for name in names], "side": "top",
                "tickangle": -30 if len(names) > 3 else 0,
                "showgrid": False, "zeroline": False, "title": {"text": f"{relation}, {unit}"},
                "range": [-0.5, max(len(names), 1) - 0.5],
            }
        }
    )  # fmt: skip


def _lay_out(drawn: go.Figure, rows: list[SwitchRow], left: int, right: int, fold: bool) -> None:
    share = min(0.7, max(0.25, (left or 1) / ((left or 1) + (right or 1))))
    titles = [_title(row) for row in rows] if fold else thread_labels([(*min(row.tids), row.thread) for row in rows])
    vertical: dict[str, Any] = {
        "tickmode": "array", "tickvals": list(range(len(rows))), "ticktext": titles, "autorange": "reversed",
        "showgrid": False, "zeroline": False,
    }  # fmt: skip
    drawn.update_layout(
        xaxis_domain=[0, share - 0.02], xaxis2_domain=[share + 0.02, 1], yaxis=vertical,
        margin={"t": 90}, meta={"alt": "Context switches per second, by thread and next task"},
    )  # fmt: skip
    if not left:
        drawn.add_annotation(text="none", x=0.5, xref="x domain", y=0.5, yref="y domain", showarrow=False, opacity=0.7)


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.05 else "< 0.1"


def _title(row: SwitchRow) -> str:
    return label(row.thread) + (f" × {len(row.tids)}" if len(row.tids) > 1 else "")
