"""`netprobe switches`: who switches context, voluntarily or not, and who takes over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.recording import Request, deliver, print_json, print_notes, record, recording_options

if TYPE_CHECKING:
    from netprobe.run.model import Run
    from netprobe.run.table import Table


@click.command(short_help="Who switches context, and who takes the CPU from a reactor.")
@recording_options
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Rows; 0 = all.")
@click.option("-L", "--latency", is_flag=True, help="How long threads wait for a CPU: p50, p99.")
@click.option("--no-fold", is_flag=True, help="Each thread by itself: timer-0, timer-1 instead of timer-N.")
def command(request: Request, top: int, latency: bool, no_fold: bool) -> None:
    """Count context switches.

    First the whole machine by second, as `sar -w 1` does; then the target's threads: how often each left its
    CPU, of its own will (it went to sleep) or not (it was preempted), and which thread ran next.

    \b
    netprobe switches -p $(pgrep -o nginx) -d 10
    netprobe switches -L --no-fold --comm haproxy
    """
    from netprobe.probes.switches import Probe, SwitchOptions

    view = _View(top, not no_fold, latency)

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        click.echo(time.strftime("[%H:%M:%S]"))
        _show(tables, view, seconds)

    run = record(request, [Probe(SwitchOptions(run_queue=latency))], "Counting context switches", interval)
    deliver(request, run, lambda: _show_result(request, run, view))


@dataclass(frozen=True)
class _View:
    top: int
    fold: bool
    latency: bool


def _show_result(request: Request, run: Run, view: _View) -> None:
    from netprobe.analysis.switches import summarise
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading
    from netprobe.render.switches import machine_as_json, machine_as_text, threads_as_json
    from netprobe.render.text import show

    intervals = run.columns("intervals")
    if request.as_json:
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
        click.echo("No thread of it left a CPU.")
        return
    show(threads_as_text(rows, seconds, view.top, view.fold, view.latency))
    if skipped := rest(rows, view.top):
        click.echo(skipped)
