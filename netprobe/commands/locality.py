"""`netprobe locality`: which thread serves the packets of which CPU, and the share of local messages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
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
    from netprobe.analysis.locality import Group, Matrix, ThreadMatrix, TxMatrix
    from netprobe.engine.options import RecordOptions
    from netprobe.probes.base import Probe
    from netprobe.run.model import Run
    from netprobe.run.table import Table


@click.command(short_help="Reuseport groups, and the CPUs on which messages are received and read.")
@recording_options(*ALL_OPTIONS)
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Number of rows; 0: all.")
@click.option("--groups-only", is_flag=True, help="Show the groups at once, without measuring messages.")
def command(options: RecordOptions, top: int, groups_only: bool) -> None:
    """Evaluate the locality of a server.

    Locality is perfect when a packet is processed on one CPU from its receive queue to the application. The first
    table shows each SO_REUSEPORT group: the index of a listener, the CPUs whose packets the steering program sends
    there, the thread that serves it and the CPUs that this thread may run on. The second counts messages by receiving
    CPU and reading CPU.

    \b
    netprobe locality -p $(pgrep -o nginx) -d 10
    netprobe locality -- ./server --port 8080
    """
    from netprobe.engine.observe_groups import GroupObserver
    from netprobe.engine.observe_peers import PeerObserver
    from netprobe.probes import locality, serving, sockets

    observer = GroupObserver(options.whole_machine)
    probes: list[Probe] = [serving.Probe(), sockets.Probe(connections=False), locality.Probe()]

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        from netprobe.analysis.locality import thread_matrices, whole_matrix

        matrix = whole_matrix(thread_matrices(tables))
        share = "-" if matrix.local_pct is None else f"{matrix.local_pct:.1f} %"
        click.echo(f"{time.strftime('[%H:%M:%S]')} {matrix.total} messages, local {share}")

    if groups_only:
        options = replace(options, seconds=0.0)
    run = record(options, probes, "Counting messages", [observer, PeerObserver()], interval)
    _deliver(options, run, top, groups_only)


def _deliver(options: RecordOptions, run: Run, top: int, groups_only: bool) -> None:
    from netprobe.analysis.locality import groups, thread_matrices, tx_matrices, whole_matrix
    from netprobe.render.json import envelope
    from netprobe.render.locality import as_json, how_seen
    from netprobe.render.notes import heading
    from netprobe.render.text import say
    from netprobe.rules.context import context_of

    threads = thread_matrices(run.tables)
    whole = whole_matrix(threads)
    found = groups(run.tables, run.info.host.cpus_online or "", threads)
    tx = tx_matrices(run.tables)
    evaluated = context_of(run).locality_verdict

    def show_result() -> None:
        if options.as_json:
            print_json(envelope("locality", run, as_json(found, threads, tx, evaluated)))
        else:
            click.echo(heading(run))
            _show_groups(found, top)
            click.echo(how_seen(found, run))
            if not groups_only:
                _show_matrices(whole, threads, tx, top)
            click.echo("")
            unmeasured = groups_only and evaluated.kind == "inconclusive"
            say("Messages were not measured, and the groups show no fault." if unmeasured else evaluated.sentence)
            print_notes(run)

    deliver(options, run, show_result)


def _show_groups(found: list[Group], top: int) -> None:
    from netprobe.render.locality import group_heading, members_as_text, rest
    from netprobe.render.text import say, show

    if not found:
        click.echo("\nThere is no SO_REUSEPORT group: no listener shares its port with another one.")
    for group in found:
        click.echo("")
        say(group_heading(group))
        show(members_as_text(group, top))
        if skipped := rest(group, top):
            click.echo(skipped)


def _show_matrices(whole: Matrix, threads: list[ThreadMatrix], tx: list[TxMatrix], top: int) -> None:
    from netprobe.render.locality import matrix_as_text, matrix_rest, threads_as_text, threads_rest, tx_as_text
    from netprobe.render.text import say, show

    if not whole.cells:
        return
    click.echo("")
    show(matrix_as_text(whole, not top))
    _tell_rest(matrix_rest(whole, not top))
    click.echo("")
    show(threads_as_text(threads, top))
    _tell_rest(threads_rest(threads, top))
    for matrix in tx:
        click.echo("")
        say(f"{matrix.device}, {matrix.queues} TX queues")
        show(tx_as_text(matrix, not top))
        _tell_rest(matrix_rest(matrix, not top))


def _tell_rest(skipped: str) -> None:
    if skipped:
        click.echo(skipped)
