"""The options that all recording commands share, and the recording itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netprobe.commands.shared.parameters import Seconds
from netprobe.engine.options import RecordOptions
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.engine.recorder import Observer
    from netprobe.probes.base import Counted, Probe
    from netprobe.run.model import Run
    from netprobe.run.table import Table

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "pid": click.option(
        "-p", "--pid", "pids", type=click.IntRange(min=1), multiple=True, metavar="PID",
        help="Process to record, with its threads and descendants; repeatable. Without a target: the whole machine.",
    ),
    "comm": click.option("--comm", metavar="NAME", help="Record processes with this name, including new ones."),
    "duration": click.option(
        "-d", "--duration", "seconds", type=Seconds(), metavar="SECONDS",
        help="Maximum duration [10; with a SERVER: until it exits].",
    ),
    "interval": click.option(
        "-i", "--interval", type=Seconds(), metavar="SECONDS", help="Print a table every SECONDS."
    ),
    "output": click.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="RUN",
        help="Write the Run to this directory, for netprobe.load().",
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    "cache": click.option(
        "--no-cache", "use_cache", is_flag=True, flag_value=False, default=True,
        help="Compile netprobe's program again, and do not store it.",
    ),
    "verbose": click.option("-v", "--verbose", is_flag=True, help="Print where netprobe's program came from."),
    "command": click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER [ARGS]...]"),
}  # fmt: skip


def recording_options(*names: str) -> Callable[[_F], Callable[..., Any]]:
    """Add the options with these names to a command, which gets them as one `RecordOptions`."""

    def decorate(function: _F) -> Callable[..., Any]:
        def wrapper(**arguments: Any) -> Any:
            interval = arguments.pop("interval", None)
            fields = ("pids", "comm", "command", "seconds", "output", "as_json", "use_cache", "verbose")
            options = RecordOptions(
                **{name: arguments.pop(name) for name in fields if name in arguments},
                interval_seconds=interval or 1.0,
                print_intervals=interval is not None,
            )
            check_options(options)
            return function(options, **arguments)

        wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
        wrapper.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        return shared_options(*names)(wrapper)

    return decorate


def shared_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options with these names, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


ALL_OPTIONS = tuple(_OPTIONS)


def check_options(options: RecordOptions) -> None:
    """Raise `NetprobeError` for options that contradict each other, or a Run that could not be written."""
    if options.command and (options.pids or options.comm):
        raise NetprobeError(
            "netprobe can start a server or record running ones, not both at once.",
            hint="Remove -p and --comm, or the command line of the server.",
        )
    if options.command and options.command[0].isdigit() and not os.path.exists(options.command[0]):
        number = options.command[0]
        raise NetprobeError(f"{number!r} is not a program.", hint=f"For process {number} write -p {number}.")
    seconds = options.max_seconds
    if options.print_intervals and seconds and options.interval_seconds > seconds:
        raise NetprobeError(
            f"The interval (-i {options.interval_seconds:g}) is longer than the recording (-d {seconds:g})."
        )


def record(
    options: RecordOptions,
    probes: Sequence[Probe],
    activity: str,
    observers: Sequence[Observer] = (),
    print_interval: Callable[[Mapping[str, Table], float], None] | None = None,
    on_interval: Callable[[Counted], None] | None = None,
) -> Run:
    """Record. `activity` describes the recording in the message that it has started.

    `print_interval` prints the tables of an interval if -i asks for that; `on_interval` gets the counts of every
    interval.
    """
    # Imports that only the Run needs are deferred until after the recording: they would delay its start.
    from netprobe.engine.recorder import Recorder

    if options.output:
        from netprobe.run.destination import check_destination

        check_destination(options.output)

    def attached(seconds: float) -> None:
        if options.max_seconds != 0:
            tell(
                f"Attached in {seconds:.2f} s. {activity} of {options.describe()} {_length(options)}; "
                "Ctrl-C stops it early."
            )

    def end_interval(counted: Counted) -> None:
        if on_interval:
            on_interval(counted)
        if print_interval and options.print_intervals and not options.as_json:
            tables = {table.name: table for probe in probes for table in probe.tables(counted)}
            print_interval(tables, counted.intervals[0].duration_s)

    recording = Recorder(options, probes, observers).run(attached, end_interval, _tell_origin(options))
    from netprobe.engine.recorded_run import as_run

    if recording.command_exit:
        name = options.while_description or f"`{options.while_command}`"
        tell(f"{name} ended {_exit_status(recording.command_exit)}.")
    if recording.server_exit:
        tell(f"{options.describe()} ended {_exit_status(recording.server_exit)}.")
    return as_run(recording, options, probes, observers)


def _tell_origin(options: RecordOptions) -> Callable[[str], None]:
    return lambda origin: tell(f"Program {origin}.") if options.verbose else None


def _length(options: RecordOptions) -> str:
    seconds = options.max_seconds
    if options.while_command:
        at_most = f", for {seconds:g} s at most" if seconds else ""
        return f"while {options.while_description or f'`{options.while_command}`'} runs{at_most}"
    return f"for {seconds:g} s" if seconds else "until it exits"


def _exit_status(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    return f"by signal {-status} ({signal.Signals(-status).name})"


def deliver(options: RecordOptions, run: Run, show: Callable[[], None]) -> None:
    """Write the Run if -o asks for it, and show the result even if that fails."""
    failure = None
    if options.output:
        from netprobe.run.store import write_into_series, write_run

        try:
            replaced = (write_into_series if options.in_series else write_run)(run, options.output)
            tell_written(options.output, replaced)
        except NetprobeError as error:
            failure = error
    show()
    sys.stdout.flush()
    if failure:
        raise failure


def tell_written(path: Path, replaced: bool) -> None:
    """Print where a Run was written, and whether it replaced an older one."""
    tell(f"Run written to {path}{', replacing an older one' if replaced else ''}.")


def print_json(document: Mapping[str, Any]) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, indent=2))


def print_notes(run: Run) -> None:
    """Print missing data to standard output, and the cost to standard error."""
    from netprobe.render.notes import cost, missing
    from netprobe.render.text import say

    for line in missing(run):
        say(line)
    tell(cost(run))


def tell(message: str) -> None:
    """Print a message about progress to standard error."""
    from netprobe.render.safe import printable

    # Without the flush, a pipe for both streams would have them in another order.
    sys.stdout.flush()
    click.echo(printable(message), err=True)
