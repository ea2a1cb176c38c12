"""`netprobe lab`: the test bed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from netprobe.lab.namespaces import Lab


@click.group(short_help="The test bed: a server with each known fault on a switch, and real namespaces.")
def command() -> None:
    """Set up what netprobe is tried on.

    \b
    netprobe lab up                        two namespaces, a veth pair that busy-polls
    netprobe lab server --help             the server, with each fault of the article on a switch
    netprobe lab bypass                    a DPDK application that takes packets past the kernel
    netprobe lab scenario                    the article's scenario, step by step, measured and evaluated here
    netprobe lab down                      removes all of it, also after a crash
    """


@command.command(short_help="Bring the namespaces up; they stay until `netprobe lab down`.")
@click.option("--queues", type=click.IntRange(1, 64), help="Queues of the veth pair [one a CPU].")
@click.option("--defer", is_flag=True, help="Leave packets to the busy poller: napi_defer_hard_irqs and its timeout.")
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
        raise NetprobeError(f"{text!r} is not a list of CPUs.", hint="Write it like 0,2 or 0-3.") from None


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


@command.command(short_help="Run a DPDK application that polls past the kernel, to try netprobe on.")
@click.option("--device", type=click.Choice(["net_null", "net_ring"]), default="net_null", show_default=True,
              help="Virtual devices: packets without end, or none at all.")  # fmt: skip
def bypass(device: Literal["net_null", "net_ring"]) -> None:
    """Run dpdk-testpmd on virtual devices until Ctrl-C; it needs no network card and no huge pages."""
    from netprobe.lab.dpdk import Testpmd

    with contextlib.suppress(KeyboardInterrupt), Testpmd(device) as application:
        click.echo(f"Process {application.pid} polls: netprobe record -p {application.pid} -d 5")
        click.echo("Ctrl-C ends it.", err=True)
        signal.pause()


@command.command(short_help="Climb the scenario: each fault named, fixed and measured, with a report.")
@click.option("--quick", is_flag=True, help="Shorter rounds and recordings: within three minutes.")
@click.option("--rounds", type=click.IntRange(2, 1000), help="Rounds of 1 s a step [10; quick: 3].")
@click.option("--recorded", type=click.IntRange(1, 3600), metavar="SECONDS", help="Recorded of each [8; quick: 2].")
@click.option("--steps-only", is_flag=True, help="Leave out what stands beside the scenario: io_uring, pre-fork.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where to [scenario-TIME].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def scenario(
    quick: bool, rounds: int | None, recorded: int | None, steps_only: bool, output: Path | None, as_json: bool
) -> None:
    """Replay the article's scenario on this machine: a faulty server, fixed step by step, under real load.

    Each step's server runs in a network namespace of its own and is loaded over a veth pair, measured in short
    rounds, then recorded under the same load and evaluated. DIR gets a Run for each step, with its flame graph, and
    report.html, which needs nothing else. Client and server share the CPUs: gains are those of this machine.
    """
    from netprobe.commands.scenario.climbing import REPORT, climb, notes
    from netprobe.commands.scenario.measuring import Plan
    from netprobe.commands.shared.recording import print_json, tell
    from netprobe.render.json import bare_envelope
    from netprobe.render.scenario import as_json as plain
    from netprobe.render.scenario import as_text
    from netprobe.render.text import show

    began = time.monotonic()
    plan = Plan(rounds or (3 if quick else 10), recorded or (2 if quick else 8))
    folder = output or Path(f"scenario-{time.strftime('%Y%m%d-%H%M%S')}")
    steps = climb(plan, folder, beside=not (quick or steps_only))
    if as_json:
        print_json(bare_envelope("scenario", plain(steps, time.monotonic() - began, notes(plan))))
    else:
        show(as_text(steps))
    tell(f"Report written to {folder / REPORT}.")
