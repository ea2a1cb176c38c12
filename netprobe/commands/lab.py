"""`netprobe lab`: the testbed."""

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


@click.group(short_help="The testbed: a server with configurable faults, network namespaces, and a scenario.")
def command() -> None:
    """Set up a testbed for netprobe.

    \b
    netprobe lab up              two network namespaces, and a veth pair that supports busy polling
    netprobe lab server --help   the server, with each fault of the article as an option
    netprobe lab bypass          a DPDK application that bypasses the kernel
    netprobe lab scenario        the article's scenario, measured step by step on this machine
    netprobe lab down            remove the namespaces, also after a crash
    """


@command.command(short_help="Create the namespaces; they exist until `netprobe lab down`.")
@click.option("--queues", type=click.IntRange(1, 64), help="Queues of the veth pair [one per CPU].")
@click.option("--defer", is_flag=True, help="Defer interrupts: napi_defer_hard_irqs and gro_flush_timeout.")
@click.option(
    "--rps", "rps_cpus", metavar="CPU,CPU…", help="CPUs that process the packets of the receive queues (RPS)."
)
@click.option("--wait", is_flag=True, help="Wait for Ctrl-C, then remove the namespaces.")
@click.option("--busy-poll", "busy_poll_us", type=click.IntRange(0), help="net.core.busy_poll, for the whole machine.")
def up(queues: int | None, defer: bool, rps_cpus: str | None, busy_poll_us: int | None, wait: bool) -> None:
    """Create a client and a server namespace with a multi-queue veth pair between them."""
    from netprobe.lab import namespaces

    cpus = tuple(_cpus(rps_cpus)) if rps_cpus else ()
    options = namespaces.LabOptions(queues or os.cpu_count() or 1, defer, cpus, busy_poll_us)
    if not wait:
        _describe(namespaces.up(options))
        click.echo("To remove the namespaces: netprobe lab down", err=True)
        return
    with contextlib.suppress(KeyboardInterrupt), namespaces.lab(options) as lab:
        _describe(lab)
        click.echo("Ctrl-C removes the namespaces.", err=True)
        signal.pause()


def _describe(lab: Lab) -> None:
    for name, end in (("server", lab.server), ("client", lab.client)):
        click.echo(f"{name}: namespace {end.namespace}, device {end.device}, {end.address}, {end.address6}")
    click.echo(f"To run a command there: ip netns exec {lab.server.namespace} COMMAND", err=True)


def _cpus(text: str) -> list[int]:
    from netprobe.analysis.locality import parse_cpu_list
    from netprobe.errors import NetprobeError

    try:
        return parse_cpu_list(text)
    except ValueError:
        raise NetprobeError(f"{text!r} is not a list of CPUs.", hint="Write it like 0,2 or 0-3.") from None


@command.command(short_help="Remove the namespaces, devices and settings of the lab.")
def down() -> None:
    """Remove the namespaces and devices, and restore the settings that `up` changed; also after a crash."""
    from netprobe.lab import namespaces

    removed = namespaces.down()
    for line in removed:
        click.echo(line)
    if not removed:
        click.echo("There was nothing to remove.")


@command.command(
    short_help="Run the lab server; --help lists its options.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def server(arguments: tuple[str, ...]) -> None:
    """Build the lab server if necessary, and exec it."""
    from netprobe.lab.server import build

    program = str(build())
    os.execv(program, [program, *arguments])


@command.command(short_help="Run a DPDK application that bypasses the kernel, as a target for netprobe.")
@click.option("--device", type=click.Choice(["net_null", "net_ring"]), default="net_null", show_default=True,
              help="Virtual devices: net_null produces packets without end, net_ring none.")  # fmt: skip
def bypass(device: Literal["net_null", "net_ring"]) -> None:
    """Run dpdk-testpmd on virtual devices until Ctrl-C; no network card or huge pages are needed."""
    from netprobe.lab.dpdk import Testpmd

    with contextlib.suppress(KeyboardInterrupt), Testpmd(device) as application:
        click.echo(f"Process {application.pid} polls. To record it: netprobe record -p {application.pid} -d 5")
        click.echo("Ctrl-C ends it.", err=True)
        signal.pause()


@command.command(short_help="Run the scenario: each fault found, fixed and measured, with a report.")
@click.option("--quick", is_flag=True, help="Shorter rounds and recordings, without variants: within three minutes.")
@click.option("--rounds", type=click.IntRange(2, 1000), help="Rounds of 1 s per step [10; quick: 3].")
@click.option(
    "--recorded", type=click.IntRange(1, 3600), metavar="SECONDS", help="Recorded time per step [8; quick: 2]."
)
@click.option("--steps-only", is_flag=True, help="Skip the variants: io_uring, pre-fork.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Output directory [scenario-TIME]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def scenario(
    quick: bool, rounds: int | None, recorded: int | None, steps_only: bool, output: Path | None, as_json: bool
) -> None:
    """Replay the article's scenario on this machine: a faulty server, fixed step by step, under real load.

    The server of each step runs in a network namespace and is loaded over a veth pair, first in short rounds without
    recording, then while it is recorded. The rules are evaluated on each recording. DIR contains a Run and a flame
    graph for each step, and the self-contained page report.html. Client and server share the CPUs: the gains are
    those of this machine.
    """
    from netprobe.commands.shared.recording import print_json, tell
    from netprobe.commands.shared.scenario import REPORT, Plan, notes, run_scenario
    from netprobe.render.json import bare_envelope
    from netprobe.render.scenario import as_json as plain
    from netprobe.render.scenario import as_text
    from netprobe.render.text import show

    began = time.monotonic()
    plan = Plan(rounds or (3 if quick else 10), recorded or (2 if quick else 8))
    folder = output or Path(f"scenario-{time.strftime('%Y%m%d-%H%M%S')}")
    steps = run_scenario(plan, folder, variants=not (quick or steps_only))
    if as_json:
        print_json(bare_envelope("scenario", plain(steps, time.monotonic() - began, notes(plan))))
    else:
        show(as_text(steps))
    tell(f"Report written to {folder / REPORT}.")
