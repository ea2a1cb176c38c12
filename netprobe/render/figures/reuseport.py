"""A reuseport group as a diagram: receiving CPU, index of the listener, serving thread, CPU of that thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netprobe.errors import NetprobeError
from netprobe.render.figures.theme import BLUE, GREY, ORANGE, RED, figure
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.locality import Group, Member, MemberResult, ServedBy

_MAX_LISTENERS = 48
_MAX_CPUS = 4
_WORST_FIRST: tuple[MemberResult, ...] = ("wrong", "not pinned", "inconclusive", "unsteered", "right", "idle")
_HEADS = ("packets received on", "go to the listener", "served by thread", "running on")
_LOOKS = {
    "right": ("right", BLUE, "solid"),
    "wrong": ("wrong: on another CPU than the packets", RED, "dash"),
    "not pinned": ("not pinned to the CPU of the packets", ORANGE, "dash"),
    "unsteered": ("not steered: gets packets of any CPU", ORANGE, "dot"),
    "idle": ("gets no packets", GREY, "dot"),
    "inconclusive": ("inconclusive", GREY, "dot"),
}
# Half the width and half the height of a node, in units of the axes.
_WIDE, _HIGH = 0.3, 0.32


@dataclass(frozen=True)
class _Link:
    """Connects a node of a column with a node of the next column."""

    column: int
    begin: Hashable
    end: Hashable
    look: MemberResult
    hover: str


@dataclass
class _Diagram:
    """Nodes of the four columns (key → text) from top to bottom, and the links between them."""

    columns: tuple[dict[Hashable, str], ...] = field(default_factory=lambda: ({}, {}, {}, {}))
    links: dict[tuple[int, Hashable, Hashable], _Link] = field(default_factory=dict)

    def link(self, column: int, begin: Hashable, end: Hashable, look: MemberResult, hover: str) -> None:
        """Add a link; of several between the same nodes the worst is kept."""
        key = (column, begin, end)
        if key not in self.links or _WORST_FIRST.index(look) < _WORST_FIRST.index(self.links[key].look):
            self.links[key] = _Link(*key, look, hover)


def draw(context: RunContext, group: int | None = None) -> go.Figure:
    """Four columns; a link is red and dashed if the thread runs on another CPU than the one that receives the packets.

    `group`: row of the table `reuseport_groups`; None: the first group with a fault, else the largest.
    """
    chosen = _chosen(context.groups, group)
    worst = sorted(chosen.members, key=lambda member: _WORST_FIRST.index(member.result))
    members = worst[:_MAX_LISTENERS]
    diagram = _diagram(members)
    tallest = max(len(column) for column in diagram.columns)
    drawn = figure(118 + 48 * tallest)
    heights = [_heights(list(column), tallest) for column in diagram.columns]
    _draw_links(drawn, diagram, heights)
    _draw_nodes(drawn, diagram, heights)
    _lay_out(drawn, tallest, worst[_MAX_LISTENERS:])
    return drawn


def rank(group: Group) -> tuple[int, int]:
    """Sort key of groups: the worst result first, then the largest group."""
    evaluated = min((_WORST_FIRST.index(member.result) for member in group.members), default=len(_WORST_FIRST))
    return (evaluated if group.size > 1 else len(_WORST_FIRST), -group.size)


def _chosen(found: Sequence[Group], group: int | None) -> Group:
    if not found:
        raise MissingDataError("the server has no reuseport group")
    if group is None:
        return min(found, key=rank)
    if not 0 <= group < len(found):
        raise NetprobeError(f"There is no group {group}.", hint=f"The Run has groups 0 to {len(found) - 1}.")
    return found[group]


# ---- Nodes and links ----


def _diagram(members: Sequence[Member]) -> _Diagram:
    diagram = _Diagram()
    _add_sources(diagram, members)
    for number, member in sorted(enumerate(members), key=lambda pair: _place(pair[1])):
        index = "?" if member.index is None else str(member.index)
        diagram.columns[1][number] = f"index {index}"
        _add_servers(diagram, number, member)
    cpus = dict(sorted(diagram.columns[3].items(), key=lambda pair: int(str(pair[0]))))
    diagram.columns[3].clear()
    diagram.columns[3].update(cpus)
    return diagram


def _place(member: Member) -> tuple[int, int]:
    """Sort key of listeners: by receiving CPU, so that correct links are straight; then by index."""
    return min(member.steered_cpus or (1 << 30,)), -1 if member.index is None else member.index


def _add_sources(diagram: _Diagram, members: Sequence[Member]) -> None:
    for cpu in sorted({cpu for member in members for cpu in member.steered_cpus or ()}):
        diagram.columns[0][cpu] = f"CPU {cpu}"
    if any(member.steered_cpus is None for member in members):
        diagram.columns[0]["any"] = "any CPU"


def _add_servers(diagram: _Diagram, number: int, member: Member) -> None:
    evaluated = member.result
    before: MemberResult = "right" if evaluated in ("right", "wrong", "not pinned") else evaluated
    hover = _hover(member)
    for cpu in ("any",) if member.steered_cpus is None else member.steered_cpus:
        diagram.link(0, cpu, number, before, hover)
    for server in member.servers:
        key = (server.pid, server.tid)
        diagram.columns[2][key] = label(server.thread, 22)
        diagram.link(1, number, key, before, hover)
        for cpu in _runs_on(server):
            diagram.columns[3][cpu] = f"CPU {cpu}"
            fits = member.steered_cpus is not None and cpu in member.steered_cpus and evaluated == "wrong"
            diagram.link(2, key, cpu, "right" if fits else evaluated, f"{hover}<br>{_measured(server)}")


def _runs_on(server: ServedBy) -> tuple[int, ...]:
    """CPUs of the affinity mask; of a mask with many CPUs, the CPUs on which the thread was seen."""
    if 0 < len(server.cpus_allowed) <= _MAX_CPUS:
        return server.cpus_allowed
    seen = tuple(sorted(server.ran_on)) or ((server.last_cpu,) if server.last_cpu >= 0 else ())
    return seen[:_MAX_CPUS]


def _hover(member: Member) -> str:
    index = "listener" if member.index is None else f"index {member.index}"
    return f"<b>{index}: {member.result}</b>" + (f"<br>{label(member.reason, 120)}" if member.reason else "")


def _measured(server: ServedBy) -> str:
    counts = [f"{count:,} on CPU {cpu}" for cpu, count in server.ran_on.most_common(_MAX_CPUS)]
    return f"{label(server.thread)} read " + (f"messages: {', '.join(counts)}" if counts else "no message")


# ---- Drawing ----


def _heights(keys: list[Hashable], tallest: int) -> dict[Hashable, float]:
    """Vertical position of each node; shorter columns are centred."""
    return {key: number + (tallest - len(keys)) / 2 for number, key in enumerate(keys)}


def _draw_links(drawn: go.Figure, diagram: _Diagram, heights: list[dict[Hashable, float]]) -> None:
    import plotly.graph_objects as go

    for look, (name, color, dash) in _LOOKS.items():
        links = [link for link in diagram.links.values() if link.look == look]
        across: list[float | None] = []
        down: list[float | None] = []
        texts: list[str] = []
        for link in links:
            begin, end = heights[link.column][link.begin], heights[link.column + 1][link.end]
            for x, y in _curve(link.column + _WIDE, begin, link.column + 1 - _WIDE, end):
                across.append(x)
                down.append(y)
                texts.append(link.hover)
            across.append(None)
            down.append(None)
            texts.append("")
        if links:
            drawn.add_trace(
                go.Scatter(
                    x=across, y=down, mode="lines", name=name, customdata=texts,
                    line={"color": color, "width": 3.5 if look == "wrong" else 2.5, "dash": dash},
                    hovertemplate="%{customdata}<extra></extra>",
                )
            )  # fmt: skip


def _curve(x0: float, y0: float, x1: float, y1: float, steps: int = 24) -> list[tuple[float, float]]:
    """Points of an S-shaped curve that starts and ends horizontally."""
    points = []
    for step in range(steps + 1):
        part = step / steps
        points.append((x0 + part * (x1 - x0), y0 + (3 * part**2 - 2 * part**3) * (y1 - y0)))
    return points


def _draw_nodes(drawn: go.Figure, diagram: _Diagram, heights: list[dict[Hashable, float]]) -> None:
    wrong = {(link.column + 1, link.end) for link in diagram.links.values() if link.look == "wrong"}
    for column, nodes in enumerate(diagram.columns):
        for key, text in nodes.items():
            y = heights[column][key]
            color = RED if (column, key) in wrong else GREY
            drawn.add_shape(
                type="rect", x0=column - _WIDE, x1=column + _WIDE, y0=y - _HIGH, y1=y + _HIGH,
                line={"color": color, "width": 1.5}, fillcolor=_faint(color), layer="below",
            )  # fmt: skip
            drawn.add_annotation(text=text, x=column, y=y, showarrow=False, font={"size": 13})
        drawn.add_annotation(
            text=_HEADS[column], x=column, y=-0.78, showarrow=False, font={"size": 12}, opacity=0.75, yanchor="middle"
        )


def _faint(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.13)"


def _lay_out(drawn: go.Figure, tallest: int, hidden: Sequence[Member]) -> None:
    bare = {"visible": False, "fixedrange": True}
    drawn.update_layout(
        xaxis={**bare, "range": [-0.42, 3.42]},
        yaxis={**bare, "range": [tallest - 0.35, -1.1]},
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yanchor": "top"},
        showlegend=True,
        margin={"t": 4, "b": 30, "l": 4, "r": 4},
        meta={"alt": "Reuseport group: receiving CPU, index, serving thread and its CPU"},
    )
    if hidden:
        evaluated = Counter(member.result for member in hidden)
        results = ", ".join(f"{count:,} {name}" for name, count in evaluated.items())
        drawn.add_annotation(
            text=f"and {len(hidden):,} more listeners, of these {results}", x=1, xref="paper", xanchor="right",
            y=0, yref="paper", yanchor="top", showarrow=False, opacity=0.75,
        )  # fmt: skip
