"""`netprobe threads`: the time of each thread by state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.recording import (
    ALL_OPTIONS,
    deliver,
    print_json,
    print_notes,
    record,
    recording_options,
)

if TYPE_CHECKING:
    from netprobe.engine.options import RecordOptions
    from netprobe.run.model import Run
    from netprobe.run.table import Table

# An odd number, so that sampling does not coincide with events every 1/100 s.
_FREQUENCY = 99


@click.command(short_help="Time of each thread by state: running, waiting for a CPU, asleep by system call.")
@recording_options(*ALL_OPTIONS)
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Number of rows; 0: all.")
@click.option(
    "--by",
    default="role",
    show_default=True,
    type=click.Choice(["role", "thread"]),
    help="One row per role (timer-0 and timer-1 are timer-N) or per thread.",
)
@click.option(
    "-F",
    "--frequency",
    default=_FREQUENCY,
    show_default=True,
    type=click.IntRange(0, 10_000),
    metavar="HZ",
    help="Samples per second and CPU that split RUN into USER, KERN and IRQ; 0: no split.",
)
def command(options: RecordOptions, top: int, by: str, frequency: int) -> None:
    """Measure the time of each thread by state.

    RUN is time on a CPU, split by samples into user mode, kernel and interrupts. WAIT is time runnable, but waiting for
    a CPU. SLEEP is the rest: ASLEEP IN names the system calls with the longest sleeps, and the socket or file. Times
    are percent of the time that the threads existed. WOKEN BY names the most frequent waker, in percent of the
    wake-ups.

    \b
    netprobe threads -p $(pgrep -o nginx) -d 10
    netprobe threads --comm redis-server --by thread -i 1
    """
    from netprobe.probes.thread_time import Probe

    view = _ThreadsView(top, by == "role")

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        click.echo(time.strftime("[%H:%M:%S]"))
        _show(tables, view)

    run = record(options, [Probe(frequency)], "Measuring the time of threads", print_interval=interval)
    deliver(options, run, lambda: _show_result(options, run, view))


@dataclass(frozen=True)
class _ThreadsView:
    top: int
    fold: bool


def _show_result(options: RecordOptions, run: Run, view: _ThreadsView) -> None:
    from netprobe.analysis.time_budget import time_budgets
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading
    from netprobe.render.threads import threads_as_json

    if options.as_json:
        rows = time_budgets(run.tables, view.fold)
        print_json(envelope("threads", run, {"threads": threads_as_json(rows)}))
        return
    click.echo(heading(run))
    _show(run.tables, view)
    print_notes(run)


def _show(tables: Mapping[str, Table], view: _ThreadsView) -> None:
    from netprobe.analysis.time_budget import time_budgets
    from netprobe.render.text import show
    from netprobe.render.threads import skipped_rows, threads_as_text

    rows = time_budgets(tables, view.fold)
    if not rows:
        click.echo("The target has no thread.")
        return
    show(threads_as_text(rows, view.top, view.fold))
    if skipped := skipped_rows(rows, view.top):
        click.echo(skipped)
