"""The figures of a Run: `run.figures`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from netprobe.errors import NetprobeError
from netprobe.load.rounds import RoundValues, read_rounds
from netprobe.rules.context import MissingDataError, context_of
from netprobe.run.model import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from flamegraph.flame_graph import FlameGraph

T = TypeVar("T")

NAMES = (
    "threads", "locality", "reuseport", "syscalls", "switches", "busypoll", "throughput", "latency", "over_time",
    "flamegraph",
)  # fmt: skip


class RunFigures:
    """Figures of a Run as `plotly.graph_objects.Figure`; `flamegraph()` alone has a viewer of its own.

    A figure is drawn when its method is called, which raises `NetprobeError` if the Run lacks the data.
    `available()` gives the reason for each figure that cannot be drawn.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._context = context_of(run)

    @cached_property
    def _rounds(self) -> list[RoundValues]:
        return read_rounds(self.run.path)

    def locality(self, thread: str | None = None) -> go.Figure:
        """Messages by receiving CPU (rows) and reading CPU (columns); the hover text has the threads.

        `thread`: only messages that threads of this name read.
        """
        from netprobe.render.figures.locality import draw

        return drawn("locality", lambda: draw(self._context, thread))

    def reuseport(self, group: int | None = None) -> go.Figure:
        """A reuseport group: receiving CPU, index of the listener, serving thread, CPU of that thread.

        `group`: row of the table `reuseport_groups`; by default a group with a fault, else the largest.
        """
        from netprobe.render.figures.reuseport import draw

        return drawn("reuseport", lambda: draw(self._context, group))

    def syscalls(self, per: str = "auto") -> go.Figure:
        """System calls by thread, call and class of timeout.

        `per`: "request", "second", or "auto": per request if the number of requests is known.
        """
        from netprobe.render.figures.syscalls import draw

        return drawn("syscalls", lambda: draw(self._context, per))

    def threads(self) -> go.Figure:
        """Time of threads by state and interval, a row per role: running, waiting for a CPU, asleep in which call."""
        from netprobe.render.figures.threads import draw

        return drawn("threads", lambda: draw(self._context))

    def switches(self, fold: bool = True) -> go.Figure:
        """Context switches per second, by thread and next task. `fold`: threads of one role are one row."""
        from netprobe.render.figures.switches import draw

        return drawn("switches", lambda: draw(self._context, fold))

    def busypoll(self) -> go.Figure:
        """Busy-poll hits and misses, and packets by receiver, per second over time."""
        from netprobe.render.figures.busypoll import draw

        return drawn("busypoll", lambda: draw(self._context))

    def throughput(self) -> go.Figure:
        """Requests per second over time, or by round of `netprobe bench`."""
        from netprobe.render.figures.throughput import draw

        return drawn("throughput", lambda: draw(self._context, self._rounds))

    def latency(self) -> go.Figure:
        """Latency by round of `netprobe bench`; else percentiles of system calls and of waits for a CPU."""
        from netprobe.render.figures.latency import draw

        return drawn("latency", lambda: draw(self._context, self._rounds))

    def over_time(self, requests: bool = True) -> go.Figure:
        """System calls, context switches, local messages and busy CPUs per second, on one time axis.

        `requests`: with a row for requests.
        """
        from netprobe.render.figures.over_time import draw

        return drawn("over_time", lambda: draw(self._context, requests))

    def flamegraph(self) -> FlameGraph:
        """The stacks of the Run as a `flamegraph.FlameGraph`, which a notebook shows as an interactive flame graph.

        `.write("flame.html")` writes it to a file.
        """
        from flamegraph.flame_graph import FlameGraph

        return drawn("flamegraph", lambda: FlameGraph.of(self._context.profile))

    def available(self) -> dict[str, str]:
        """Each figure with "" if it can be drawn, else with the reason why not."""
        return {name: _reason(getattr(self, name)) for name in NAMES}


def drawn(name: str, draw: Callable[[], T]) -> T:
    """The result of `draw`; missing data become an error that names the figure."""
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
