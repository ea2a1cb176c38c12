"""`netprobe syscalls`: system calls, their number and their timeouts."""

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
    from netprobe.analysis.syscalls import By
    from netprobe.engine.options import RecordOptions
    from netprobe.render.syscalls import SyscallView
    from netprobe.run.model import Run
    from netprobe.run.table import Table


@click.command(short_help="System calls of a server, by system call, thread or process.")
@recording_options(*ALL_OPTIONS)
@click.option("-T", "--top", default=10, show_default=True, type=click.IntRange(min=0), help="Number of rows; 0: all.")
@click.option("--by", type=click.Choice(["syscall", "thread", "process"]), default="syscall", show_default=True)
@click.option("-x", "--failed", is_flag=True, help="Count failed calls only, by error.")
@click.option("-e", "--errno", "error", metavar="NAME", help="Count calls that failed with this error only: EAGAIN …")
@click.option("-L", "--latency", is_flag=True, help="Time in the calls: total, mean, p50, p99; longest total first.")
@click.option("--syscall", "only", multiple=True, metavar="NAME", help="Count this system call only; repeatable.")
def command(
    options: RecordOptions,
    top: int,
    by: By,
    failed: bool,
    error: str | None,
    latency: bool,
    only: tuple[str, ...],
) -> None:
    """Count system calls.

    System calls that can wait (epoll_wait, poll …) are listed by timeout: zero, positive, infinite.

    \b
    netprobe syscalls -p $(pgrep -o nginx) -d 10
    netprobe syscalls --comm redis-server --by thread -L
    netprobe syscalls -d 5 -- ./server --port 8080
    """
    from netprobe.probes.syscall_names import check_native
    from netprobe.probes.syscalls import Probe, SyscallOptions

    for name in only:
        check_native(name)
    wanted = _known_errno(error)
    probe = Probe(SyscallOptions(failures=failed or bool(error), latency=latency, only=only))

    def view() -> SyscallView:
        from netprobe.render.syscalls import SyscallView

        return SyscallView(by, top, failed, wanted, latency)

    def interval(tables: Mapping[str, Table], seconds: float) -> None:
        click.echo(time.strftime("[%H:%M:%S]"))
        _show(tables, view(), seconds)

    run = record(options, [probe], "Counting system calls", print_interval=interval)
    deliver(options, run, lambda: _show_result(options, run, view()))


def _show_result(options: RecordOptions, run: Run, view: SyscallView) -> None:
    from netprobe.analysis.syscalls import summarise
    from netprobe.render.json import envelope
    from netprobe.render.notes import heading
    from netprobe.render.syscalls import as_json

    if options.as_json:
        rows = as_json(summarise(run.tables, view.by), view, run.seconds)
        print_json(envelope("syscalls", run, {"by": view.by, "syscalls": rows}))
    else:
        click.echo(heading(run))
        _show(run.tables, view, run.seconds)
        print_notes(run)


def _show(tables: Mapping[str, Table], view: SyscallView, seconds: float) -> None:
    from netprobe.analysis.syscalls import summarise
    from netprobe.render.syscalls import as_text, rest
    from netprobe.render.text import show

    rows = summarise(tables, view.by)
    table = as_text(rows, view, seconds)
    if not table.rows:
        click.echo("No system call failed." if view.failed or view.error else "No system call was made.")
        return
    show(table)
    if skipped := rest(rows, view):
        click.echo(skipped)


def _known_errno(name: str | None) -> str | None:
    from netprobe.errors import NetprobeError
    from netprobe.probes.syscalls import known_errno

    if name is None:
        return None
    known = known_errno(name)
    if known is None:
        raise NetprobeError(f"There is no error named {name!r}.", hint="Names are those of errno(3): EAGAIN, EINTR …")
    return known
