"""The options that all recording commands share, and the way from them to a Run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netprobe.commands.shared.seconds import Seconds
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.engine.options import RecordOptions
    from netprobe.engine.recorder import Observer
    from netprobe.probes.base import Counted, Probe
    from netprobe.run.model import Run
    from netprobe.run.table import Table

_F = TypeVar("_F", bound=Callable[..., Any])
_DEFAULT_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    """Whom to record and what to do with it, as the user said it."""

    pids: tuple[int, ...] = ()
    comm: str | None = None
    command: tuple[str, ...] = ()
    seconds: float | None = None
    interval: float | None = None
    output: Path | None = None
    as_json: bool = False

    def options(self) -> RecordOptions:
        """The engine's options. A server that netprobe starts is watched until it ends, unless -d says less."""
        from netprobe.engine.options import RecordOptions

        seconds = self.seconds
        if seconds is None and not self.command:
            seconds = _DEFAULT_SECONDS
        return RecordOptions(
            pids=self.pids,
            comm=self.comm,
            command=self.command,
            seconds=seconds,
            block_seconds=self.interval or 1.0,
        )


def recording_options(function: _F) -> _F:
    """Add -p, --comm, -d, -i, -o, --json and `-- SERVER ARGS`; they arrive as one `Request`."""

    def wrapper(**arguments: Any) -> Any:
        request = Request(
            pids=arguments.pop("pids"),
            comm=arguments.pop("comm"),
            command=arguments.pop("command"),
            seconds=arguments.pop("seconds"),
            interval=arguments.pop("interval"),
            output=arguments.pop("output"),
            as_json=arguments.pop("as_json"),
        )
        _check(request)
        return function(request, **arguments)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    decorated: Any = wrapper
    positive = Seconds()
    for decorate in reversed(
        (
            click.option(
                "-p", "--pid", "pids", type=click.IntRange(min=1), multiple=True, metavar="PID",
                help="Process to watch, with its threads and descendants; may be given again.",
            ),
            click.option("--comm", metavar="NAME", help="Watch the processes of this name, new ones too."),
            click.option(
                "-d", "--duration", "seconds", type=positive, metavar="SECONDS",
                help="How long [10; with a SERVER: until it ends].",
            ),
            click.option(
                "-i", "--interval", type=positive, metavar="SECONDS", help="Print a table every SECONDS."
            ),
            click.option(
                "-o", "--output", type=click.Path(path_type=Path), metavar="RUN",
                help="Keep everything in this directory, for netprobe.load().",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
            click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER [ARGS]...]"),
        )
    ):  # fmt: skip
        decorated = decorate(decorated)
    return decorated  # type: ignore[no-any-return]


def _check(request: Request) -> None:
    if request.command and (request.pids or request.comm):
        raise NetprobeError(
            "netprobe can start a server or watch running ones, not both at once.",
            todo="Leave out -p and --comm, or the server's command line.",
        )
    if request.command and request.command[0].isdigit() and not os.path.exists(request.command[0]):
        number = request.command[0]
        raise NetprobeError(f"{number!r} is not a program.", todo=f"For process {number} write -p {number}.")
    seconds = request.options().seconds
    if request.interval and seconds and request.interval > seconds:
        raise NetprobeError(f"The interval (-i {request.interval:g}) is longer than the recording (-d {seconds:g}).")


def record(
    request: Request,
    probes: Sequence[Probe],
    what: str,
    on_interval: Callable[[Mapping[str, Table], float], None] | None = None,
    observers: Sequence[Observer] = (),
    only_look: bool = False,
) -> Run:
    """Record. `what` is counted, in words; `on_interval` shows each interval; `only_look` ends at once."""
    # What only the result needs is loaded after the recording: the way to the first counted event is short.
    from netprobe.engine.recorder import Recorder

    if request.output:
        from netprobe.run.store import check_destination

        check_destination(request.output)
    options = request.options()
    if only_look:
        options = replace(options, seconds=0.0)

    def attached(seconds: float) -> None:
        if only_look:
            return
        length = f"for {options.seconds:g} s" if options.seconds else "until it ends"
        _tell(f"Attached in {seconds:.2f} s. {what} of {options.describe()} {length}; Ctrl-C ends it early.")

    def on_block(counted: Counted) -> None:
        if on_interval and request.interval and not request.as_json:
            tables = {table.name: table for probe in probes for table in probe.tables(counted)}
            on_interval(tables, counted.blocks[0].duration_s)

    recording = Recorder(options, probes, observers).run(attached, on_block)
    from netprobe.engine.to_run import as_run

    if recording.server_exit:
        _tell(f"{options.describe()} ended {_how(recording.server_exit)}.")
    return as_run(recording, options, probes, observers)


def _how(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    return f"by signal {-status} ({signal.Signals(-status).name})"


def deliver(request: Request, run: Run, show: Callable[[], None]) -> None:
    """Write the Run if -o asks for it, then show the result: neither takes the other with it when it fails."""
    from netprobe.run.store import write_run

    failure = None
    if request.output:
        try:
            write_run(run, request.output)
        except NetprobeError as error:
            failure = error
        else:
            _tell(f"Run written to {request.output}.")
    show()
    sys.stdout.flush()
    if failure:
        raise failure


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_notes(run: Run) -> None:
    """What is missing goes with the result; the cost goes to standard error."""
    from netprobe.render.notes import cost, missing
    from netprobe.render.text import say

    for line in missing(run):
        say(line)
    _tell(cost(run))


def _tell(message: str) -> None:
    from netprobe.render.safe import printable

    # In a pipe the two streams would otherwise change order.
    sys.stdout.flush()
    click.echo(printable(message), err=True)
