"""Messages by receiving CPU and reading CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError
from netprobe.render.figures.theme import BLUE, RED, figure, scale
from netprobe.render.safe import label
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.locality import ThreadMatrix

_MAX_CPUS = 64
_THREADS_ON_HOVER = 6
_NUMBERS_UP_TO = 16
# More tick labels would overlap where two maps stand side by side.
_MAX_TICKS = 16


def draw(context: RunContext, thread: str | None = None) -> go.Figure:
    """A heat map of receiving CPU (rows) and reading CPU (columns); local messages have a colour of their own."""
    import plotly.graph_objects as go

    threads = _chosen(context, thread)
    cells = _cells(threads)
    if not cells:
        raise MissingDataError("no message was read during the recording")
    received, read, skipped = _axes(cells)
    drawn = figure(max(128 + min(84, max(16, 560 // len(received))) * len(received), 200))
    empty = [[0] * len(read) for _ in received]
    drawn.add_trace(go.Heatmap(z=empty, xgap=2, ygap=2, hoverinfo="skip", **scale("empty")))
    for name, local in (("good", True), ("bad", False)):
        chosen = [[cells[row, column] if (row == column) == local else 0 for column in read] for row in received]
        drawn.add_trace(
            go.Heatmap(
                z=[[count or None for count in row] for row in chosen],
                zmin=0,
                zmax=max(cells.values()),
                customdata=[[_hover(threads, row, column) for column in read] for row in received],
                hovertemplate="%{customdata}<extra></extra>",
                texttemplate="%{z:,}" if max(len(received), len(read)) <= _NUMBERS_UP_TO else None,
                name="read on the receiving CPU" if local else "read on another CPU",
                xgap=2,
                ygap=2,
                hoverongaps=False,
                **scale(name),
            )
        )
    _label_axes(drawn, received, read, skipped)
    return drawn


def _chosen(context: RunContext, thread: str | None) -> Sequence[ThreadMatrix]:
    if thread is None:
        return context.thread_matrices
    chosen = [matrix for matrix in context.thread_matrices if matrix.thread == thread]
    if not chosen:
        names = ", ".join(sorted({matrix.thread for matrix in context.thread_matrices})[:20])
        raise NetprobeError(f"No thread {thread!r} read a message in this Run.", hint=f"Those that did: {names}")
    return chosen


def _cells(threads: Sequence[ThreadMatrix]) -> Counter[tuple[int, int]]:
    cells: Counter[tuple[int, int]] = Counter()
    for thread in threads:
        cells.update(thread.matrix.cells)
    return +cells


def _axes(cells: Counter[tuple[int, int]]) -> tuple[list[int], list[int], int]:
    """Rows, columns and the number of skipped CPUs; the CPUs with the most messages are kept.

    Rows and columns have the same CPUs, so that local messages are on the diagonal. Row -1 has the messages that were
    received before the first packet was seen.
    """
    busy: Counter[int] = Counter()
    for (row, column), count in cells.items():
        busy[row] += count
        busy[column] += count
    unknown = busy.pop(-1, 0)
    cpus = sorted(cpu for cpu, _ in busy.most_common(_MAX_CPUS))
    return ([-1] if unknown else []) + cpus, cpus, len(busy) - len(cpus)


def _hover(threads: Sequence[ThreadMatrix], row: int, column: int) -> str:
    """Hover text of a cell; names are escaped here, as the template has none."""
    by_thread = Counter({thread.thread: 0 for thread in threads})
    for thread in threads:
        by_thread[thread.thread] += thread.matrix.cells[row, column]
    total = by_thread.total()
    if not total:
        return ""
    head = f"received {'before the first packet was seen' if row < 0 else f'on CPU {row}'}, read on CPU {column}"
    lines = [f"<b>{total:,} messages</b> {head}"]
    lines += [
        f"{label(name)}: {count:,} ({100 * count / total:.1f} %)"
        for name, count in by_thread.most_common(_THREADS_ON_HOVER)
        if count
    ]
    more = len(+by_thread) - _THREADS_ON_HOVER
    return "<br>".join([*lines, f"and {more} more threads"] if more > 0 else lines)


def _label_axes(drawn: go.Figure, received: list[int], read: list[int], skipped: int) -> None:
    down, across = (range(0, len(cpus), -(-len(cpus) // _MAX_TICKS)) for cpus in (received, read))
    some = f"; the {len(read)} busiest of {len(read) + skipped} CPUs" if skipped else ""
    places: dict[str, Any] = {"tickmode": "array", "showgrid": False, "zeroline": False, "ticks": ""}
    drawn.update_xaxes(
        title_text=f"read on CPU{some}", side="top",
        tickvals=list(across), ticktext=[str(read[place]) for place in across],
        constrain="domain", constraintoward="left", range=[-0.5, len(read) - 0.5], **places,
    )  # fmt: skip
    drawn.update_yaxes(
        title_text="received on CPU", range=[len(received) - 0.5, -0.5], scaleratio=0.55,
        # A few cells keep their proportions; many cells fill the available space.
        scaleanchor="x" if len(received) <= _NUMBERS_UP_TO else None,
        constrain="domain", tickvals=list(down),
        ticktext=["not known" if received[place] < 0 else str(received[place]) for place in down], **places,
    )  # fmt: skip
    for name, color in (("read on the CPU that received them", BLUE), ("read on another CPU", RED)):
        drawn.add_scatter(
            x=[None], y=[None], mode="markers", name=name, marker={"color": color, "symbol": "square", "size": 12}
        )
    drawn.update_layout(
        margin={"t": 56, "b": 40},
        showlegend=True,
        legend={
            "orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemclick": False,
            "itemdoubleclick": False,
        },
        meta={"alt": "Messages by receiving and by reading CPU"},
    )  # fmt: skip
