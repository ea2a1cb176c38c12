"""System calls by thread and class of timeout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError
from netprobe.render.figures.theme import BLUE, GREEN, GREY, ORANGE, PINK, SERIES, TEAL, VIOLET, figure
from netprobe.render.safe import label, thread_labels
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.analysis.syscalls import SyscallRow

PER = ("auto", "request", "second")
_THREADS, _PARTS = 16, 9
_TIMEOUTS = {"zero": "timeout 0", "positive": "timeout > 0", "infinite": "no timeout", "unreadable": "timeout unknown"}
# Waits with a zero timeout stand out, also in print.
_PATTERNS = {"zero": "x", "positive": "/", "infinite": "", "unreadable": "."}

_COLORS = {
    **dict.fromkeys(("recvfrom", "recvmsg"), BLUE),
    **dict.fromkeys(("read", "readv"), TEAL),
    **dict.fromkeys(("sendto", "sendmsg"), ORANGE),
    **dict.fromkeys(("write", "writev"), PINK),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"), GREEN),
    **dict.fromkeys(("futex", "io_uring_enter"), VIOLET),
}

Part = tuple[str, str]
"""System call and class of its timeout ("" for a call without timeout)."""


@dataclass(frozen=True)
class _Bars:
    threads: list[tuple[int, int, str]]
    parts: list[Part]
    counts: Counter[tuple[tuple[int, int, str], Part]]


def draw(context: RunContext, per: str = "auto") -> go.Figure:
    """Stacked bars, one per thread; `per`: "request", "second", or "auto": per request if their number is known."""
    divisor, unit = normalization(context, per)
    bars = _bars(context.calls_by_thread)
    if not bars.threads:
        raise MissingDataError("no system call was seen")
    threads = bars.threads[:_THREADS]
    rest = bars.threads[_THREADS:]
    names = thread_labels(threads) + ([f"{len(rest)} other threads"] if rest else [])
    drawn = figure(96 + 34 * len(names) + 22 * (1 + min(len(bars.parts), _PARTS + 1) // 4))
    colors = colors_of(call for call, _ in bars.parts[:_PARTS])
    for part in [*bars.parts[:_PARTS], None]:
        values = [_sum(bars, [thread], part) for thread in threads] + ([_sum(bars, rest, part)] if rest else [])
        if any(values):
            _add(drawn, names, part, [value / divisor for value in values], colors[part[0]] if part else GREY, unit)
    drawn.update_layout(
        barmode="stack",
        bargap=0.32,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left", "traceorder": "normal"},
        xaxis={"title": {"text": f"calls {unit}"}, "zeroline": False},
        yaxis={
            "tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names, "autorange": "reversed",
            "showgrid": False, "zeroline": False,
        },
        meta={"alt": f"System calls by thread, {unit}"},
    )  # fmt: skip
    return drawn


def colors_of(calls: Iterable[str]) -> dict[str, str]:
    """Colour of each call; frequent calls have the same colour in every figure."""
    names = sorted(set(calls))
    chosen = {name: _COLORS[name] for name in names if name in _COLORS}
    free = [color for color in SERIES if color not in chosen.values()] or list(SERIES)
    for place, name in enumerate(name for name in names if name not in chosen):
        chosen[name] = free[place % len(free)]
    return chosen


def normalization(context: RunContext, per: str) -> tuple[float, str]:
    """Divisor of counts, and its name."""
    if per not in PER:
        raise ValueError(f"per {per!r} is none of {', '.join(PER)}")
    requests = context.requests
    if per == "request" and requests is None:
        raise NetprobeError(
            "The number of requests is unknown.",
            hint='Use per="second"; or record with --requests-from or the locality probe.',
        )
    if requests is not None and per != "second":
        return requests.count, "per request of the server"
    return (context.run.seconds, "per second") if context.run.seconds > 0 else (1.0, "in total")


def _bars(rows: list[SyscallRow]) -> _Bars:
    counts: Counter[tuple[tuple[int, int, str], Part]] = Counter()
    for row in rows:
        for part, count in split(row):
            counts[(row.pid, row.tid, row.thread), part] += count
    by_thread: Counter[tuple[int, int, str]] = Counter()
    by_part: Counter[Part] = Counter()
    for (thread, part), count in counts.items():
        by_thread[thread] += count
        by_part[part] += count
    return _Bars(
        [thread for thread, count in by_thread.most_common() if count],
        [part for part, count in by_part.most_common() if count],
        counts,
    )


def split(row: SyscallRow) -> Iterator[tuple[Part, int]]:
    """Counts of a call by class of timeout; calls without a class (or of an older Run) have one count."""
    for kind, count in row.timeouts.items():
        yield (row.syscall, kind), count
    rest = row.calls - row.timeouts.total()
    if rest > 0 and not row.timeouts:
        yield (row.syscall, ""), rest


def part_text(part: Part) -> str:
    """`epoll_wait, timeout 0`, not escaped."""
    call, kind = part
    return f"{call}, {_TIMEOUTS.get(kind, kind)}" if kind else call


def _sum(bars: _Bars, threads: list[tuple[int, int, str]], part: Part | None) -> int:
    parts = bars.parts[_PARTS:] if part is None else [part]
    return sum(bars.counts[thread, each] for thread in threads for each in parts)


def _add(drawn: go.Figure, names: list[str], part: Part | None, values: list[float], color: str, unit: str) -> None:
    import plotly.graph_objects as go

    name = label(part_text(part)) if part else "other calls"
    marker: dict[str, Any] = {"color": color, "line": {"width": 0}}
    pattern = _PATTERNS.get(part[1], "") if part else ""
    if pattern:
        marker["pattern"] = {"shape": pattern, "fgcolor": "#ffffff", "fillmode": "overlay", "size": 7, "solidity": 0.25}
    drawn.add_trace(
        go.Bar(
            x=values, y=list(range(len(names))), orientation="h", name=name, marker=marker,
            customdata=[[thread, name] for thread in names],
            hovertemplate=f"<b>%{{customdata[1]}}</b><br>%{{customdata[0]}}: %{{x:,.3~f}} {unit}<extra></extra>",
        )
    )  # fmt: skip
