"""`netprobe switches`: voluntary and involuntary context switches, and the next task."""

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


@click.command(short_help="Context switches by thread, and the task that runs next.")
@recording_options(*ALL_OPTIONS)
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Number of rows; 0: all.")
@click.option("-L", "--latency", is_flag=True, help="Time that threads wait for a CPU: p50, p99.")
@click.option("--no-fold", is_flag=True, help="One row per thread: timer-0, timer-1 instead of timer-N.")
def command(options: RecordOptions, top: int, latency: bool, no_fold: bool) -> None:
    """Count context switches.

    The first table shows the whole machine per second, like `sar -w 1`. The second shows the threads of the target:
    voluntary switches (the thread went to sleep), involuntary ones (it was preempted), and the task that ran next.

    \b
    netprobe switches -p $(pgrep -o nginx) -d 10
    netprobe switches -L --no-fold --comm haproxy
    """
    from netprobe.probes.switches import Probe, SwitchOptions

    view = _View(top, not no_fold, latency)

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        click.echo(time.strftime("[%H:%M:%S]"))
        _show(tables, view, seconds)

    run = record(
        options, [Probe(SwitchOptions(run_queue=latency))], "Counting context switches", print_interval=interval
    )
    deliver(options, run, lambda: _show_result(options, run, view))


@dataclass(frozen=True)
class _View:
    top: int
    fold: bool
    latency: bool


def _show_result(options: RecordOptions, run: Run, view: _View) -> None:
    from netprobe.analysis.switches import summarise
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading
    from netprobe.render.switches import machine_as_json, machine_as_text, threads_as_json
    from netprobe.render.text import show

    intervals = run.columns("intervals")
    if options.as_json:
        threads = threads_as_json(summarise(run.tables, view.fold), run.seconds, view.latency)
        print_json(envelope("switches", run, {"machine": machine_as_json(intervals), "threads": threads}))
        return
    click.echo("The whole machine")
    show(machine_as_text(intervals, run.info.recording.started or ""))
    click.echo(f"\n{heading(run)}")
    _show(run.tables, view, run.seconds)
    print_notes(run)


def _show(tables: Mapping[str, Table], view: _View, seconds: float) -> None:
    from netprobe.analysis.switches import summarise
    from netprobe.render.switches import rest, threads_as_text
    from netprobe.render.text import show

    rows = summarise(tables, view.fold)
    if not rows:
        click.echo("No thread of the target left a CPU.")
        return
    show(threads_as_text(rows, seconds, view.top, view.fold, view.latency))
    if skipped := rest(rows, view.top):
        click.echo(skipped)
