"""`netprobe locality`: who serves which CPU's packets, and whether locality really happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.recording import Request, deliver, print_json, print_notes, record, recording_options

if TYPE_CHECKING:
    from netprobe.analysis.locality import Group, Matrix, ThreadMatrix, TxMatrix
    from netprobe.probes.base import Probe
    from netprobe.run.table import Table


@click.command(short_help="Who serves which CPU's packets, and on which CPU they arrive.")
@recording_options
@click.option("-T", "--top", default=20, show_default=True, type=click.IntRange(min=0), help="Rows; 0 = all.")
@click.option("--groups-only", is_flag=True, help="Only who is in which group, at once, without measuring messages.")
def command(request: Request, top: int, groups_only: bool) -> None:
    """Judge the locality of a server.

    Perfect locality means that a packet is handled on one CPU from its receive queue to the application. The
    first table shows each SO_REUSEPORT group: which index a listener has, which CPU's packets the steering sends
    there, which thread serves it and where that thread may run. The second counts every message by the CPU that
    received it and the CPU that read it.

    \b
    netprobe locality -p $(pgrep -o nginx) -d 10
    netprobe locality -- ./server --port 8080
    """
    from netprobe.analysis.locality import groups, thread_matrices, tx_matrices, verdict, whole_matrix
    from netprobe.engine.observe_groups import GroupObserver
    from netprobe.probes import locality, serving, sockets
    from netprobe.render.json import envelope
    from netprobe.render.locality import as_json, how_seen
    from netprobe.render.notes import heading
    from netprobe.render.text import say

    observer = GroupObserver(request.options().whole_machine)
    probes: list[Probe] = [serving.Probe(), sockets.Probe(), locality.Probe()]

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        matrix = whole_matrix(thread_matrices(tables))
        share = "-" if matrix.local_pct is None else f"{matrix.local_pct:.1f} %"
        click.echo(f"{time.strftime('[%H:%M:%S]')} {matrix.total} messages, local {share}")

    run = record(request, probes, "Counting messages", interval, [observer], groups_only)
    threads = thread_matrices(run.tables)
    whole = whole_matrix(threads)
    found = groups(run.tables, run.info.host.cpus_online or "", threads)
    tx = tx_matrices(run.tables)
    evaluated = verdict(found, whole)

    def show_result() -> None:
        if request.as_json:
            print_json(envelope("locality", run, as_json(found, threads, tx, evaluated)))
        else:
            click.echo(heading(run))
            _show_groups(found, top)
            click.echo(how_seen(found, run))
            if not groups_only:
                _show_matrices(whole, threads, tx, top)
            click.echo("")
            unmeasured = groups_only and evaluated.kind == "inconclusive"
            say("Messages were not measured, and the groups alone show no fault." if unmeasured else evaluated.sentence)
            print_notes(run)

    deliver(request, run, show_result)


def _show_groups(found: list[Group], top: int) -> None:
    from netprobe.render.locality import group_heading, members_as_text, rest
    from netprobe.render.text import say, show

    if not found:
        click.echo("\nNo SO_REUSEPORT group: no listener shares its port with another.")
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
