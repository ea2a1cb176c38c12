"""`netprobe record`: all probes and the stack sampler at once, into a Run."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.everything import LIGHT_SHARE, record_everything
from netprobe.commands.shared.parameters import RequestCount
from netprobe.commands.shared.recording import (
    deliver,
    print_json,
    print_notes,
    recording_options,
    shared_options,
    tell,
)
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.engine.options import RecordOptions
    from netprobe.probes.base import Counted
    from netprobe.run.model import Run


@dataclass(frozen=True)
class _Settings:
    """Options that only `netprobe record` has."""

    frequency: int
    requests: float | None
    requests_from: Path | None


@click.command(short_help="Record everything into a Run, and print findings about the server.")
@recording_options("pid", "comm", "duration")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Directory to write [run-NAME-TIME]."
)
@click.option(
    "-F",
    "--frequency",
    default=99,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Stack samples per second and CPU.",
)
@click.option("--light", is_flag=True, help="Count in sampling windows (15 % of the time), at a fraction of the cost.")
@click.option(
    "--while",
    "while_command",
    metavar="COMMAND",
    help="Run a load generator, and record until it exits, at most for the duration -d.",
)
@click.option(
    "--requests",
    type=RequestCount(),
    metavar="N",
    help="Number of requests served, for numbers per request.",
)
@click.option(
    "--requests-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the number of requests from a report of wrk, wrk2, ab, h2load or hey when the recording stops.",
)
@click.option(
    "--repeat",
    default=1,
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Record N times, into RUN/1, RUN/2 …: a series.",
)
@shared_options("json", "cache", "verbose", "command")
def command(
    options: RecordOptions,
    frequency: int,
    light: bool,
    while_command: str | None,
    requests: float | None,
    requests_from: Path | None,
    repeat: int,
) -> None:
    """Record all that netprobe can measure, and print findings.

    A Run has system calls, context switches, times of threads, locality, busy polling and stacks; `netprobe diff`
    compares two Runs. Numbers per request need the number of requests: from the load generator (--requests,
    --requests-from), or else estimated from messages that the server read from accepted connections.

    The cost depends on the CPU: 6 to 11 % of the throughput of the busy servers that were measured. With --light,
    netprobe counts in a sampling window of 0.15 s in each second: rates and numbers per request have the same meaning
    as without --light; counts are those of the sampling windows. A number of requests from --requests or
    --requests-from is scaled to the sampling windows, with an error of up to 10 %.

    \b
    netprobe record -p $(pgrep -o nginx) -d 10 -o before
    netprobe record -p $(pgrep -o nginx) --while 'wrk -d 10 http://127.0.0.1/ >wrk.txt' --requests-from wrk.txt
    """
    options = replace(
        options,
        output=options.output or _free_name(options),
        while_command=while_command,
        counted_share=LIGHT_SHARE if light else 1.0,
    )
    settings = _Settings(frequency, requests, requests_from)
    _check(options, settings, repeat)
    if repeat > 1:
        _record_series(options, settings, repeat)
    else:
        _finish(options, settings, _record(options, settings))


def _free_name(options: RecordOptions) -> Path:
    target = options.comm or "-".join(map(str, options.pids))
    target = target or Path(*options.command[:1]).name or "machine"
    return Path(f"run-{re.sub(r'[^0-9A-Za-z_.-]+', '-', target)}-{time.strftime('%Y%m%d-%H%M%S')}")


def _check(options: RecordOptions, settings: _Settings, repeat: int) -> None:
    from netprobe.run.destination import check_destination

    assert options.output is not None
    if settings.requests and settings.requests_from:
        raise NetprobeError("--requests and --requests-from exclude each other.", hint="Remove one of them.")
    if repeat > 1 and options.as_json:
        raise NetprobeError(
            "--json prints one document, but a series is several Runs.",
            hint="Remove --json: the Runs contain all data, for netprobe.load() and netprobe diff --series --json.",
        )
    if repeat > 1 and os.path.lexists(options.output):
        raise NetprobeError(f"{options.output} exists already.", hint="Choose another name for the series.")
    check_destination(options.output)


def _record_series(options: RecordOptions, settings: _Settings, repeat: int) -> None:
    folder = options.output or Path()
    for number in range(1, repeat + 1):
        tell(f"Run {number} of {repeat}")
        of_run, ending = replace(options, output=folder / str(number), in_series=True), ""
        try:
            run = _record(of_run, settings)
            ending = ", the last one cut short" if _cut_short(run) else ""
            _finish(of_run, settings, run)
        except (KeyboardInterrupt, NetprobeError) as error:
            written = number if (folder / str(number)).exists() else number - 1
            if not written:
                raise
            tell(_end_of_series(written, repeat, ending if written == number else ""))
            if isinstance(error, NetprobeError):
                raise
            return
        if ending:
            tell(_end_of_series(number, repeat, ending))
            return


def _cut_short(run: Run) -> bool:
    """Whether a signal or the end of the target stopped it; a server that netprobe starts is started for each Run."""
    stopped_by = run.info.recording.stopped_by or ""
    return stopped_by.startswith("SIG") or (stopped_by == "target exited" and not run.info.target.command)


def _end_of_series(written: int, repeat: int, ending: str) -> str:
    return f"The series ends here, with {written} Run{'' if written == 1 else 's'} of {repeat}{ending}."


def _record(options: RecordOptions, settings: _Settings) -> Run:
    # `_check` has checked the destination; the directory of a series does not exist yet.
    return record_everything(replace(options, output=None), settings.frequency, _progress(options))


def _finish(options: RecordOptions, settings: _Settings, run: Run) -> None:
    try:
        run = _with_requests(options, settings, run)
    finally:
        # The recording is kept even if the report of the load generator cannot be read.
        _deliver(options, run)


def _progress(options: RecordOptions) -> Callable[[Counted], None] | None:
    """A line on a terminal that is overwritten by the next one."""
    if not sys.stderr.isatty():
        return None
    seconds, share = options.seconds, options.counted_share

    def show(counted: Counted) -> None:
        interval = counted.intervals[0]
        length_s = interval.duration_s / share
        now = interval.start_s + length_s
        served = interval.rows["messages"]["count"][:, 1].sum() / interval.duration_s
        length = f" of {seconds:g} s" if seconds else " s"
        over = seconds is not None and now >= seconds - length_s / 2
        click.echo(f"\r\x1b[K{'' if over else f'{now:.1f}{length}, about {served:.0f} requests/s'}", nl=False, err=True)

    return show


def _with_requests(options: RecordOptions, settings: _Settings, run: Run) -> Run:
    """The Run with the number of requests, where that is known."""
    from msgspec.structs import replace as replace_fields

    from netprobe.run.description import RequestsInfo
    from netprobe.run.model import Run as Model

    count, source = settings.requests, "--requests"
    if report := settings.requests_from:
        count, source = _reported(run, report, options.while_command), report.name
    if not count:
        return run
    return Model(replace_fields(run.info, requests=RequestsInfo(count=count, source=source)), run.tables)


def _reported(run: Run, report: Path, load: str | None) -> int:
    from datetime import datetime

    from netprobe.load.reports import NoReportError, requests_in

    recording = run.info.recording
    assert recording.started
    try:
        return requests_in(report, datetime.fromisoformat(recording.started).timestamp())
    except NoReportError as error:
        if not load or recording.stopped_by == "command exited":
            raise
        stopped_by = recording.stopped_by or ""
        stopped_by = {"duration": "-d", "target exited": "the end of the target"}.get(stopped_by, stopped_by)
        raise NetprobeError(
            f"{report} does not contain the number of requests: {stopped_by} stopped the recording before the load "
            "generator had ended, so netprobe ended the load generator as well.",
            hint="Let the load generator end by itself, earlier than -d; or specify the number with --requests.",
        ) from error


def _deliver(options: RecordOptions, run: Run) -> None:
    deliver(options, run, lambda: _show(options, run))


def _show(options: RecordOptions, run: Run) -> None:
    from netprobe.render.findings import as_json, finding_lines, summary_lines
    from netprobe.render.json import envelope
    from netprobe.render.notes import cost_advice, heading
    from netprobe.render.record import headline, tables, verdict_as_json
    from netprobe.render.text import say, show
    from netprobe.rules.context import context_of
    from netprobe.rules.finding import Finding
    from netprobe.rules.registry import evaluate

    context = context_of(run)
    results = evaluate(context)
    if options.as_json:
        print_json(envelope("record", run, verdict_as_json(context) | as_json(results)))
        return
    say(heading(run))
    for line in headline(context):
        say(line)
    for table in tables(context):
        click.echo("")
        show(table)
    click.echo("")
    for number, finding in enumerate((result for result in results if isinstance(result, Finding)), 1):
        for line in finding_lines(number, finding):
            say(line)
        click.echo("")
    for line in summary_lines(results):
        say(line)
    print_notes(run)
    if advice := cost_advice(run):
        tell(advice)
