"""`netprobe busypoll`: busy-poll attempts and hits, and the prerequisites of busy polling."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
    from netprobe.analysis.busypoll import BusyPolling
    from netprobe.engine.options import RecordOptions
    from netprobe.probes.base import Probe
    from netprobe.run.model import Run
    from netprobe.run.table import Table


@click.command(short_help="Busy-poll attempts and hits by thread and NAPI instance, and missing prerequisites.")
@recording_options(*ALL_OPTIONS)
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Number of rows; 0: all.")
def command(options: RecordOptions, top: int) -> None:
    """Evaluate busy polling.

    Busy polling has several prerequisites. netprobe counts every poll of every NAPI instance, by busy-polling threads
    and by the softirq, and checks the prerequisites on the running process: which one is not met, the evidence, and
    the fix.

    \b
    netprobe busypoll -p $(pgrep -o nginx) -d 10
    """
    from netprobe.engine.observe_polling import PollingObserver
    from netprobe.probes import busypoll, sockets, syscalls

    observer = PollingObserver(options.whole_machine)
    waits = syscalls.SyscallOptions(only=syscalls.WAITS)
    probes: list[Probe] = [busypoll.Probe(), syscalls.Probe(waits), sockets.Probe()]

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        from netprobe.analysis.busypoll import poll_rows

        rows, _ = poll_rows(tables)
        attempts, hits = sum(row.attempts for row in rows), sum(row.hits for row in rows)
        packets = sum(row.packets + row.last_poll_packets for row in rows)
        click.echo(f"{time.strftime('[%H:%M:%S]')} {attempts} attempts, {hits} hits, {packets} packets")

    run = record(options, probes, "Counting NAPI polls", [observer], interval)
    _deliver(options, run, top)


def _deliver(options: RecordOptions, run: Run, top: int) -> None:
    from netprobe.analysis.busypoll import analyse
    from netprobe.render.busypoll import as_json
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading

    found = analyse(run.tables)

    def show_result() -> None:
        if options.as_json:
            print_json(envelope("busypoll", run, as_json(found)))
        else:
            click.echo(heading(run))
            _show(found, run.seconds, top)
            print_notes(run)

    deliver(options, run, show_result)


def _show(found: BusyPolling, seconds: float, top: int) -> None:
    from netprobe.render.busypoll import checks_as_text, cross_check, fixes, napis_as_text, rows_as_text
    from netprobe.render.text import say, show

    if found.rows:
        click.echo("\nBusy polls")
        show(rows_as_text(found.rows, found.napis, seconds, top))
    if found.napis:
        click.echo("\nNAPI instances of its connections")
        show(napis_as_text(found.napis))
    click.echo("\nPrerequisites of busy polling")
    show(checks_as_text(found.checks))
    click.echo("")
    for line in (found.sentence, *fixes(found.checks), cross_check(found)):
        if line:
            say(line)
