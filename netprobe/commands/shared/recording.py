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
# Of the time, in which a light recording looks.
LIGHT_SHARE = 0.15


@dataclass(frozen=True)
class Request:
    """Whom to record and what to do with it, as the user said it."""

    pids: tuple[int, ...] = ()
    comm: str | None = None
    command: tuple[str, ...] = ()
    seconds: float | None = None
    interval: float | None = None
    output: Path | None = None
    in_series: bool = False
    """The output is one of several Runs in a directory, which is made with the first of them."""
    as_json: bool = False
    while_command: str | None = None
    while_text: str = ""
    """What that is, where the command itself would say nothing to the user."""
    light: bool = False
    """Count for a part of the time only."""

    def options(self) -> RecordOptions:
        """The engine's options. A server that netprobe starts is watched until it ends, unless -d says less."""
        from netprobe.engine.options import RecordOptions

        seconds = self.seconds
        if seconds is None and not self.command and not self.while_command:
            seconds = _DEFAULT_SECONDS
        return RecordOptions(
            pids=self.pids,
            comm=self.comm,
            command=self.command,
            seconds=seconds,
            interval_seconds=self.interval or 1.0,
            while_command=self.while_command,
            counted_share=LIGHT_SHARE if self.light else 1.0,
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
        check_request(request)
        return function(request, **arguments)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return shared_options(*_OPTIONS)(wrapper)  # type: ignore[return-value]


def shared_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of these names, in this order, as every command that records has them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


_OPTIONS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "pid": click.option(
        "-p", "--pid", "pids", type=click.IntRange(min=1), multiple=True, metavar="PID",
        help="Process to watch, with its threads and descendants; may be given again.",
    ),
    "comm": click.option("--comm", metavar="NAME", help="Watch the processes of this name, new ones too."),
    "duration": click.option(
        "-d", "--duration", "seconds", type=Seconds(), metavar="SECONDS",
        help="How long at most [10; with a SERVER: until it ends].",
    ),
    "interval": click.option(
        "-i", "--interval", type=Seconds(), metavar="SECONDS", help="Print a table every SECONDS."
    ),
    "output": click.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="RUN",
        help="Keep everything in this directory, for netprobe.load().",
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    "command": click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER [ARGS]...]"),
}  # fmt: skip


def check_request(request: Request) -> None:
    """Refuse what contradicts itself, before anything begins."""
    if request.command and (request.pids or request.comm):
        raise NetprobeError(
            "netprobe can start a server or watch running ones, not both at once.",
            hint="Leave out -p and --comm, or the server's command line.",
        )
    if request.command and request.command[0].isdigit() and not os.path.exists(request.command[0]):
        number = request.command[0]
        raise NetprobeError(f"{number!r} is not a program.", hint=f"For process {number} write -p {number}.")
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
    interval_seconds: float | None = None,
    watch: Callable[[Counted], None] | None = None,
    dispensable: tuple[str, ...] = (),
) -> Run:
    """Record. `what` is counted, in words; `on_interval` shows each interval; `only_look` ends at once;
    `watch` is given what was counted in each interval; without the `dispensable` probes there is a result as well.
    """
    # What only the result needs is loaded after the recording: the way to the first counted event is short.
    from netprobe.engine.recorder import Recorder

    options = _engine_options(request, only_look, interval_seconds)

    def attached(seconds: float) -> None:
        if not only_look:
            tell(
                f"Attached in {seconds:.2f} s. {what} of {options.describe()} {_length(options, request.while_text)}; "
                "Ctrl-C ends it early."
            )

    def end_interval(counted: Counted) -> None:
        if watch:
            watch(counted)
        if on_interval and request.interval and not request.as_json:
            tables = {table.name: table for probe in probes for table in probe.tables(counted)}
            on_interval(tables, counted.intervals[0].duration_s)

    recording = Recorder(options, probes, observers, dispensable).run(attached, end_interval)
    from netprobe.engine.to_run import as_run

    if recording.command_exit:
        tell(f"{request.while_text or f'`{options.while_command}`'} ended {_how(recording.command_exit)}.")
    if recording.server_exit:
        tell(f"{options.describe()} ended {_how(recording.server_exit)}.")
    return as_run(recording, options, probes, observers)


def _engine_options(request: Request, only_look: bool, interval_seconds: float | None) -> RecordOptions:
    """What to record; raises `NetprobeError` where the Run could not be written in the end."""
    if request.output:
        from netprobe.run.store import check_destination

        check_destination(request.output)
    options = request.options()
    if only_look:
        options = replace(options, seconds=0.0)
    return replace(options, interval_seconds=interval_seconds) if interval_seconds else options


def _length(options: RecordOptions, words: str) -> str:
    if options.while_command:
        at_most = f", for {options.seconds:g} s at most" if options.seconds else ""
        return f"while {words or f'`{options.while_command}`'} runs{at_most}"
    return f"for {options.seconds:g} s" if options.seconds else "until it ends"


def _how(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    return f"by signal {-status} ({signal.Signals(-status).name})"


def deliver(request: Request, run: Run, show: Callable[[], None]) -> None:
    """Write the Run if -o asks for it, then show the result: neither takes the other with it when it fails."""
    failure = None
    if request.output:
        try:
            _write(run, request)
        except NetprobeError as error:
            failure = error
    show()
    sys.stdout.flush()
    if failure:
        raise failure


def _write(run: Run, request: Request) -> None:
    from netprobe.run.store import write_into_series, write_run

    assert request.output is not None
    tell_written(request.output, (write_into_series if request.in_series else write_run)(run, request.output))


def tell_written(path: Path, replaced: bool) -> None:
    """Say where a Run is, and that an older one is no more."""
    tell(f"Run written to {path}{', in place of the one that was there' if replaced else ''}.")


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_notes(run: Run) -> None:
    """What is missing goes with the result; the cost goes to standard error."""
    from netprobe.render.notes import cost, missing
    from netprobe.render.text import say

    for line in missing(run):
        say(line)
    tell(cost(run))


def tell(message: str) -> None:
    """Say how things go, on standard error."""
    from netprobe.render.safe import printable

    # In a pipe the two streams would otherwise change order.
    sys.stdout.flush()
    click.echo(printable(message), err=True)
