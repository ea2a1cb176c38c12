"""`netprobe switches`: who switches context, voluntarily or not, and who takes over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.recording import Request, deliver, print_json, print_notes, record, recording_options

if TYPE_CHECKING:
    from netprobe.analysis.switches import SwitchRow
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
    from netprobe.analysis.switches import summarise
    from netprobe.probes.switches import Probe, SwitchOptions
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading
    from netprobe.render.switches import machine_as_json, machine_as_text, threads_as_json
    from netprobe.render.text import show

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        click.echo(time.strftime("[%H:%M:%S]"))
        _show(summarise(tables, not no_fold), seconds, top, not no_fold, latency)

    run = record(request, [Probe(SwitchOptions(run_queue=latency))], "Counting context switches", interval)
    rows = summarise(run.tables, not no_fold)

    def show_result() -> None:
        if request.as_json:
            results = {
                "machine": machine_as_json(run.columns("blocks")),
                "threads": threads_as_json(rows, run.seconds, latency),
            }
            print_json(envelope("switches", run, results))
        else:
            click.echo("The whole machine")
            show(machine_as_text(run.columns("blocks"), run.info["window"]["started"]))
            click.echo(f"\n{heading(run)}")
            _show(rows, run.seconds, top, not no_fold, latency)
            print_notes(run)

    deliver(request, run, show_result)


def _show(rows: list[SwitchRow], seconds: float, top: int, fold: bool, latency: bool) -> None:
    from netprobe.render.switches import rest, threads_as_text
    from netprobe.render.text import show

    if not rows:
        click.echo("No thread of it left a CPU.")
        return
    show(threads_as_text(rows, seconds, top, fold, latency))
    if left_out := rest(rows, top):
        click.echo(left_out)
