"""`netprobe lab`: the test bed."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from netprobe.lab.namespaces import Lab


@click.group(short_help="The test bed: a server with each known fault on a switch, and real namespaces.")
def command() -> None:
    """Set up what netprobe is tried on.

    \b
    netprobe lab up                        two namespaces, a veth pair that busy-polls
    netprobe lab server --help             the server, with each fault of the article on a switch
    netprobe lab down                      removes all of it, also after a crash
    """


@command.command(short_help="Bring the namespaces up; they stay until `netprobe lab down`.")
@click.option("--queues", type=click.IntRange(1, 64), help="Queues of the veth pair [one a CPU].")
@click.option("--defer", is_flag=True, help="Leave packets to the busy poller: napi_defer_hard_irqs and its time-out.")
@click.option("--rps", "rps_cpus", metavar="CPU,CPU…", help="CPUs to which the receive queues hand packets.")
@click.option("--wait", is_flag=True, help="Stay until Ctrl-C, then remove it all.")
@click.option("--busy-poll", "busy_poll_us", type=click.IntRange(0), help="net.core.busy_poll, for the whole machine.")
def up(queues: int | None, defer: bool, rps_cpus: str | None, busy_poll_us: int | None, wait: bool) -> None:
    """Bring up a client and a server namespace with a multi-queue veth pair between them."""
    from netprobe.lab import namespaces

    cpus = tuple(_cpus(rps_cpus)) if rps_cpus else ()
    options = namespaces.LabOptions(queues or os.cpu_count() or 1, defer, cpus, busy_poll_us)
    if not wait:
        _describe(namespaces.up(options))
        click.echo("Remove it all: netprobe lab down", err=True)
        return
    with contextlib.suppress(KeyboardInterrupt), namespaces.lab(options) as lab:
        _describe(lab)
        click.echo("Ctrl-C removes it all.", err=True)
        signal.pause()


def _describe(lab: Lab) -> None:
    for name, end in (("server", lab.server), ("client", lab.client)):
        click.echo(f"{name}: namespace {end.namespace}, device {end.device}, {end.address}, {end.address6}")
    click.echo(f"Run something there: ip netns exec {lab.server.namespace} COMMAND", err=True)


def _cpus(text: str) -> list[int]:
    from netprobe.analysis.cpus import parse_cpu_list
    from netprobe.errors import NetprobeError

    try:
        return parse_cpu_list(text)
    except ValueError:
        raise NetprobeError(f"{text!r} is not a list of CPUs.", todo="Write it like 0,2 or 0-3.") from None


@command.command(short_help="Remove namespaces, devices and settings of the lab.")
def down() -> None:
    """Remove what `up` made, and put back what it changed; also after a crash, and a second time."""
    from netprobe.lab import namespaces

    removed = namespaces.down()
    for line in removed:
        click.echo(line)
    if not removed:
        click.echo("There was nothing to remove.")


@command.command(
    short_help="Run the lab server; --help shows its switches.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def server(arguments: tuple[str, ...]) -> None:
    """Build the lab server if need be, and become it."""
    from netprobe.lab.server import build

    program = str(build())
    os.execv(program, [program, *arguments])
