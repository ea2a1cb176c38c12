"""The figures of a Run: `run.figures`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from netprobe.errors import NetprobeError
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.run.model import Run
from netprobe.run.rounds import Rounds, read_rounds

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from flamegraph.profile import Profile

T = TypeVar("T")

NAMES = (
    "locality", "reuseport", "syscalls", "switches", "busypoll", "throughput", "latency", "over_time", "flame",
)  # fmt: skip


class RunFigures:
    """Figures of a Run as `plotly.graph_objects.Figure`, made when they are asked for.

    Each raises `NetprobeError` where the Run lacks what it shows; `available()` says so of all.
    """

    def __init__(self, run: Run, context: RunContext | None = None) -> None:
        self.run = run
        self._context = context or RunContext(run)

    @cached_property
    def _rounds(self) -> list[Rounds]:
        return read_rounds(self.run.path)

    def locality(self, thread: str | None = None) -> go.Figure:
        """Messages by the CPU that received them (rows) and the CPU that read them (columns); threads on hover.

        `thread`: only what threads of this name read.
        """
        from netprobe.render.figures.locality import draw

        return drawn("locality", lambda: draw(self._context, thread))

    def reuseport(self, group: int | None = None) -> go.Figure:
        """A reuseport group: whose packets come to which index, the thread that serves it, the CPU it runs on.

        `group`: the row in the table `reuseport_groups`; by default one with something wrong, else the largest.
        """
        from netprobe.render.figures.reuseport import draw

        return drawn("reuseport", lambda: draw(self._context, group))

    def syscalls(self, per: str = "auto") -> go.Figure:
        """System calls by thread, and by call and class of its timeout.

        `per`: "request", "second", or "auto": by request where the number of requests is known.
        """
        from netprobe.render.figures.syscalls import draw

        return drawn("syscalls", lambda: draw(self._context, per))

    def switches(self, fold: bool = True) -> go.Figure:
        """Who takes over a CPU from whom, in switches a second. `fold`: threads of the same work are one."""
        from netprobe.render.figures.switches import draw

        return drawn("switches", lambda: draw(self._context, fold))

    def busypoll(self) -> go.Figure:
        """Busy-poll hits and misses, and packets by who took them, a second, over time in seconds."""
        from netprobe.render.figures.busypoll import draw

        return drawn("busypoll", lambda: draw(self._context))

    def throughput(self) -> go.Figure:
        """Requests a second over time in seconds; by round of `netprobe bench` where only that is known."""
        from netprobe.render.figures.throughput import draw

        return drawn("throughput", lambda: draw(self._context, self._rounds))

    def latency(self) -> go.Figure:
        """Latency by round of `netprobe bench`; else percentiles of the times in calls and of waits for a CPU."""
        from netprobe.render.figures.latency import draw

        return drawn("latency", lambda: draw(self._context, self._rounds))

    def over_time(self, requests: bool = True) -> go.Figure:
        """Requests (unless left out), system calls, switches, local messages and time on CPU, a second.

        All on one time axis, in seconds from the start of the recording.
        """
        from netprobe.render.figures.over_time import draw

        return drawn("over_time", lambda: draw(self._context, requests))

    def flame(self) -> Profile:
        """The Run's stacks. They show themselves as a flame graph; `.write("flame.html")` keeps it."""
        return drawn("flame", lambda: self._context.profile)

    def available(self) -> dict[str, str]:
        """Each figure with "" where there are data for it, else with why there are none."""
        return {name: _reason(getattr(self, name)) for name in NAMES}


def drawn(name: str, draw: Callable[[], T]) -> T:
    """What a figure's file draws; missing data as an error that says which."""
    try:
        return draw()
    except MissingDataError as missing:
        raise NetprobeError(f"There is no figure {name}: {missing}.") from None
    except KeyError as missing:
        # An imported Run, or one of an older version.
        raise NetprobeError(f"There is no figure {name}: the Run has no {missing}.") from None


def _reason(draw: Callable[[], object]) -> str:
    try:
        draw()
    except NetprobeError as error:
        return error.message
    return ""
