"""`netprobe record`: all probes and the stack sampler at once, into a Run."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netprobe.commands.shared.everything import record_everything
from netprobe.commands.shared.recording import Request, check_request, print_json, shared_options, tell
from netprobe.commands.shared.requests import RequestCount
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.probes.base import Counted
    from netprobe.run.model import Run


@click.command(short_help="Everything at once into a Run, and what it says about the server.")
@shared_options("pid", "comm", "duration")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Where to [run-NAME-TIME].")
@click.option(
    "-F",
    "--frequency",
    default=99,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Stack samples a second and CPU.",
)
@click.option("--light", is_flag=True, help="Count for 15 % of the time only, at a fraction of the cost.")
@click.option(
    "--while",
    "while_command",
    metavar="COMMAND",
    help="Run a load generator, and record as long as it runs; -d is the most then.",
)
@click.option(
    "--requests",
    type=RequestCount(),
    metavar="N",
    help="Requests that were served, for numbers by request.",
)
@click.option(
    "--requests-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="… as wrk, wrk2, ab, h2load or hey say in this file at the end.",
)
@click.option(
    "--repeat",
    default=1,
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Record N times, into RUN/1, RUN/2 …: a series.",
)
@shared_options("json", "command")
def command(**arguments: Any) -> None:
    """Record all that netprobe can see, and say what is wrong.

    One recording has system calls, context switches, locality, busy polling and stacks; `netprobe diff` compares
    two of them. Numbers by request need to know how many there were: from the load generator (--requests,
    --requests-from), else they are estimated from what the server read from accepted connections.

    What that costs a busy server depends on its CPU: 6 to 11 % of its throughput on those that were measured. Where
    that is too much, --light looks for 0.15 s of each second: rates and numbers by request mean the same, counts are
    those of what was seen. A number of requests that is told is scaled to that, which may be off by a tenth.

    \b
    netprobe record -p $(pgrep -o nginx) -d 10 -o before
    netprobe record -p $(pgrep -o nginx) --while 'wrk -d 10 http://127.0.0.1/ >wrk.txt' --requests-from wrk.txt
    """
    request = Request(
        arguments["pids"],
        arguments["comm"],
        arguments["command"],
        arguments["seconds"],
        output=arguments["output"] or _free_name(arguments),
        as_json=arguments["as_json"],
        while_command=arguments["while_command"],
        light=arguments["light"],
    )
    check_request(request)
    _check(request, arguments)
    if arguments["repeat"] > 1:
        _record_series(request, arguments)
    else:
        _finish(request, _record(request, arguments), arguments)


def _free_name(arguments: dict[str, Any]) -> Path:
    target = arguments["comm"] or "-".join(map(str, arguments["pids"]))
    target = target or Path(*arguments["command"][:1]).name or "machine"
    return Path(f"run-{re.sub(r'[^0-9A-Za-z_.-]+', '-', target)}-{time.strftime('%Y%m%d-%H%M%S')}")


def _check(request: Request, arguments: dict[str, Any]) -> None:
    from netprobe.run.store import check_destination

    assert request.output is not None
    if arguments["requests"] and arguments["requests_from"]:
        raise NetprobeError(
            "--requests and --requests-from both say how many requests were served.", hint="Leave out one of them."
        )
    if arguments["repeat"] > 1 and request.as_json:
        raise NetprobeError(
            "--json prints one document, and a series is several Runs.",
            hint="Leave out --json: the Runs hold it all, for netprobe.load() and netprobe diff --series --json.",
        )
    if arguments["repeat"] > 1 and os.path.lexists(request.output):
        raise NetprobeError(f"{request.output} exists already.", hint="Choose another name for the series.")
    check_destination(request.output)


def _record_series(request: Request, arguments: dict[str, Any]) -> None:
    folder, repeat = request.output or Path(), arguments["repeat"]
    for number in range(1, repeat + 1):
        tell(f"Run {number} of {repeat}")
        once, how = replace(request, output=folder / str(number), in_series=True), ""
        try:
            run = _record(once, arguments)
            how = ", the last one cut short" if _cut_short(run) else ""
            _finish(once, run, arguments)
        except (KeyboardInterrupt, NetprobeError) as error:
            written = number if (folder / str(number)).exists() else number - 1
            if not written:
                raise
            tell(_end_of_series(written, repeat, how if written == number else ""))
            if isinstance(error, NetprobeError):
                raise
            return
        if how:
            tell(_end_of_series(number, repeat, how))
            return


def _cut_short(run: Run) -> bool:
    """By a signal, or as there was nothing left to record: a server that netprobe starts is started for each Run."""
    stopped_by = run.info.recording.stopped_by or ""
    return stopped_by.startswith("SIG") or (stopped_by == "target exited" and not run.info.target.command)


def _end_of_series(written: int, repeat: int, how: str) -> str:
    return f"The series ends here, with {written} Run{'' if written == 1 else 's'} of {repeat}{how}."


def _record(request: Request, arguments: dict[str, Any]) -> Run:
    # Where it goes was looked at; the directory of a series is not there yet.
    return record_everything(replace(request, output=None), arguments["frequency"], _progress(request))


def _finish(request: Request, run: Run, arguments: dict[str, Any]) -> None:
    try:
        run = _with_requests(run, arguments)
    finally:
        # A report that cannot be read takes nothing of the recording with it.
        _deliver(request, run)


def _progress(request: Request) -> Callable[[Counted], None] | None:
    """A line on a terminal that is written over."""
    if not sys.stderr.isatty():
        return None
    seconds, share = request.seconds, request.options().counted_share

    def show(counted: Counted) -> None:
        interval = counted.intervals[0]
        length_s = interval.duration_s / share
        now = interval.start_s + length_s
        served = interval.rows["messages"]["count"][:, 1].sum() / interval.duration_s
        length = f" of {seconds:g} s" if seconds else " s"
        over = seconds is not None and now >= seconds - length_s / 2
        click.echo(f"\r\x1b[K{'' if over else f'{now:.1f}{length}, about {served:.0f} requests/s'}", nl=False, err=True)

    return show


def _with_requests(run: Run, arguments: dict[str, Any]) -> Run:
    """The Run with the number of requests, where somebody says it."""
    from msgspec.structs import replace as replace_fields

    from netprobe.run.description import RequestsInfo
    from netprobe.run.model import Run as Model

    count, source = arguments["requests"], "--requests"
    if report := arguments["requests_from"]:
        count, source = _reported(run, report, arguments["while_command"]), report.name
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
        stopped_by = {"duration": "-d", "target exited": "the target's end"}.get(stopped_by, stopped_by)
        raise NetprobeError(
            f"{report} does not say how many requests were served: {stopped_by} ended the recording before the load "
            "generator had ended, and so netprobe ended that too.",
            hint="Let the load generator end by itself, earlier than -d; or give the number with --requests.",
        ) from error


def _deliver(request: Request, run: Run) -> None:
    from netprobe.commands.shared.recording import deliver

    deliver(request, run, lambda: _show(request, run))


def _show(request: Request, run: Run) -> None:
    from netprobe.commands.shared.recording import print_notes, tell
    from netprobe.render.findings import as_json, finding_lines, summary
    from netprobe.render.json import envelope
    from netprobe.render.notes import cost_advice, heading
    from netprobe.render.record import headline, tables
    from netprobe.render.text import say, show
    from netprobe.rules.context import context_of
    from netprobe.rules.finding import Finding
    from netprobe.rules.registry import evaluate

    context = context_of(run)
    results = evaluate(context)
    if request.as_json:
        print_json(envelope("record", run, as_json(results)))
        return
    say(heading(run))
    for line in headline(context):
        say(line)
    for table in tables(context):
        click.echo("")
        show(table)
    click.echo("")
    for number, finding in enumerate((one for one in results if isinstance(one, Finding)), 1):
        for line in finding_lines(number, finding):
            say(line)
        click.echo("")
    say(summary(results))
    print_notes(run)
    if advice := cost_advice(run):
        tell(advice)
