"""`netprobe bench`: throughput and latency of a server in repeated short rounds, kept for comparisons."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netprobe.commands.shared.recording import print_json, tell
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.load.generator import Load
    from netprobe.load.rounds import Round
    from netprobe.run.model import Run

_FREQUENCY = 99


@dataclass(frozen=True)
class BenchOptions:
    """The options of the command line."""

    url: str
    connections: int
    threads: int
    rounds: int
    seconds: int
    warm_up: int
    cpus: str | None
    pid: int | None
    record: bool
    output: Path | None
    as_json: bool

    @property
    def folder(self) -> Path:
        """The directory that the Run is written to."""
        return self.output or Path(f"bench-{time.strftime('%Y%m%d-%H%M%S')}")


@click.command(short_help="Throughput and latency in repeated short rounds, kept for comparisons.")
@click.argument("url")
@click.option(
    "-c", "--connections", default=16, show_default=True, type=click.IntRange(1, 100_000), help="Connections of wrk."
)
@click.option("-t", "--threads", default=1, show_default=True, type=click.IntRange(1, 1024), help="Threads of wrk.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(2, 10_000), help="Number of rounds.")
@click.option(
    "-d", "--duration", "seconds", default=1, show_default=True, type=click.IntRange(1, 3600), metavar="SECONDS",
    help="Length of each round, in whole seconds.",
)  # fmt: skip
@click.option(
    "--warm-up", default=1, show_default=True, type=click.IntRange(1, 3600), metavar="SECONDS",
    help="Length of the warm-up before the rounds.",
)  # fmt: skip
@click.option("--cpus", metavar="LIST", help="CPUs of wrk, such as 2,3 or 2-3 [CPUs that the server does not use].")
@click.option(
    "-p",
    "--pid",
    type=click.IntRange(1),
    metavar="PID",
    help="The server [the process that listens on the URL's port].",
)
@click.option("--record", is_flag=True, help="Record the server at the same time: counts per request are exact.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Directory of the Run [bench-TIME]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(**arguments: object) -> None:
    """Load URL with wrk in rounds, after a warm-up, and keep every round.

    RUN includes bench.json, a suite for `pyperf stats` and `pyperf compare_to`. Means are printed with 95 % confidence
    intervals from the spread of the rounds. wrk is pinned to CPUs that the server does not use, if there are any.
    Conditions that make measurements on this machine vary are reported.

    \b
    netprobe bench http://127.0.0.1:8080/ -o before
    netprobe bench http://127.0.0.1:8080/ --record -o after
    python -m pyperf compare_to before/bench.json after/bench.json
    """
    _bench(BenchOptions(**arguments))  # type: ignore[arg-type]


def _bench(options: BenchOptions) -> None:
    from netprobe.commands.shared.everything import record_load
    from netprobe.load.generator import run_rounds
    from netprobe.load.steadiness import CpuTimes, advice, load_per_cpu
    from netprobe.run.destination import check_destination

    folder = options.folder
    check_destination(folder)
    pid = options.pid or _server(options)
    load_before, advised = load_per_cpu(), advice()
    # The warm-up also shows which threads of the server are busy, and so which CPUs it uses.
    warm_up, server_cpus = _warm_up(options, pid)
    load, placement = _load(options, server_cpus)
    ticks = CpuTimes.now()
    tell(f"{options.rounds} rounds of {options.seconds} s each; {placement}.")
    if options.record:
        assert pid is not None
        rounds, run = record_load(pid, load, options.rounds, _FREQUENCY)
    else:
        rounds = run_rounds(load, options.rounds)
        run = _run_of_load(options, rounds)
    warnings = [*advised, *_warnings(load_before, ticks.stolen_pct(CpuTimes.now()), rounds, load)]
    _keep(run, rounds, warm_up, options, load, folder)
    _show(options, rounds, run, placement, warnings, folder)


def _server(options: BenchOptions) -> int | None:
    """The process that listens on the URL's port; None if it is on another machine, or is unknown and not needed."""
    from urllib.parse import urlsplit

    from netprobe.load.serving_process import is_local, listening_processes

    try:
        parts = urlsplit(options.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (KeyError, ValueError):
        host, port = "", 0
    if not host:
        raise NetprobeError(f"{options.url!r} is not a URL for wrk.", hint="Write it like http://127.0.0.1:8080/path")
    found = listening_processes(port) if is_local(host) else []
    if options.record and len(found) != 1:
        listening = f"processes {', '.join(map(str, found))} listen" if found else "no visible process listens"
        raise NetprobeError(
            f"The server to record is not known: {listening} on {host} port {port}.",
            hint="Specify the server with -p PID.",
        )
    return found[0] if len(found) == 1 else None


def _warm_up(options: BenchOptions, pid: int | None) -> tuple[Round, set[int]]:
    """The round of the warm-up, and the CPUs of the server's busy threads; no CPUs if the server is unknown."""
    from netprobe.load.generator import Load, run_round
    from netprobe.load.serving_process import busy_cpus, cpu_times

    load = Load(options.url, options.warm_up, (options.cpus or "",), options.connections, options.threads)
    before = cpu_times(pid) if pid else {}
    warm_up = run_round(load)
    return warm_up, busy_cpus(before, cpu_times(pid)) if pid else set()


def _load(options: BenchOptions, server_cpus: set[int]) -> tuple[Load, str]:
    """The load, and a description of it with the CPUs of wrk."""
    import os

    from netprobe.load.generator import Load

    cpus, reason = options.cpus, "as specified"
    if cpus is None:
        free = sorted(os.sched_getaffinity(0) - server_cpus)
        if not server_cpus:
            cpus, reason = "", "the server's CPUs are not known"
        elif free:
            cpus, reason = ",".join(map(str, free)), f"the server uses {_list(server_cpus)}"
        else:
            cpus, reason = "", f"the server may use all CPUs: {_list(server_cpus)}"
    placement = f"wrk with {options.connections} connections on {f'CPU {cpus}' if cpus else 'any CPU'} ({reason})"
    return Load(options.url, options.seconds, (cpus,), options.connections, options.threads), placement


def _list(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


def _run_of_load(options: BenchOptions, rounds: list[Round]) -> Run:
    """A Run without a recording."""
    import datetime

    from netprobe.engine.machine import describe_host
    from netprobe.run.description import RecordingInfo, RequestsInfo, RunInfo, TargetInfo
    from netprobe.run.model import Run
    from netprobe.version import __version__

    started = datetime.datetime.fromtimestamp(rounds[0].started, datetime.UTC).isoformat(timespec="milliseconds")
    info = RunInfo(
        netprobe_version=__version__,
        host=describe_host(),
        target=TargetInfo(description=f"load on {options.url}"),
        recording=RecordingInfo(started=started, seconds=sum(one.seconds for one in rounds), stopped_by="duration"),
        requests=RequestsInfo(count=sum(one.requests for one in rounds), source="the load generator"),
    )
    return Run(info, {})


def _warnings(load_before: float, stolen_pct: float, rounds: list[Round], load: Load) -> list[str]:
    """Conditions of this benchmark that make its results vary."""
    from netprobe.analysis.confidence import spread_pct

    spread = spread_pct([one.per_second for one in rounds])
    conditions = {
        f"Other programs used the CPUs before the benchmark: load average {load_before:.1f} per CPU.": load_before
        > 0.5,
        f"The host of this virtual machine took {stolen_pct:.1f} % of the CPU time.": stolen_pct > 1,
        "The load generator may share CPUs with the server; the results include both.": not load.generators[0],
        f"The rounds vary: their standard deviation is {spread:.1f} % of the mean.": spread > 5,
        f"{sum(one.errors for one in rounds)} requests failed.": any(one.errors for one in rounds),
        "Too few requests for p99.99: fewer than 10,000 per round.": min(one.requests for one in rounds) < 10_000,
    }
    return [sentence for sentence, holds in conditions.items() if holds]


def _keep(run: Run, rounds: list[Round], warm_up: Round, options: BenchOptions, load: Load, folder: Path) -> None:
    from netprobe.commands.shared.recording import tell_written
    from netprobe.load.rounds import suite, with_rounds, write_with_suite

    metadata = {
        "url": options.url,
        "load": f"wrk -c{load.connections} -t{load.threads} -d{load.seconds}s",
        "load_cpus": load.generators[0] or "any",
        "recorded": "yes" if options.record else "no",
    }
    tell_written(folder, write_with_suite(with_rounds(run, rounds), folder, suite(rounds, [warm_up], metadata)))


def _show(
    options: BenchOptions, rounds: list[Round], run: Run, placement: str, warnings: list[str], folder: Path
) -> None:
    from netprobe.analysis.confidence import mean, spread_pct
    from netprobe.load.rounds import PERCENTILES
    from netprobe.render.bench import Benchmark, as_json, as_text, heading, per_request_as_text
    from netprobe.render.json import bare_envelope
    from netprobe.render.text import say, show
    from netprobe.rules.context import context_of

    rates = [one.per_second for one in rounds]
    benchmark = Benchmark(
        options.url,
        placement,
        len(rounds),
        sum(one.requests for one in rounds),
        sum(one.errors for one in rounds),
        mean(rates),
        spread_pct(rates),
        {f"p{percent:g}": mean([one.percentile(percent) for one in rounds]) for percent in PERCENTILES},
        warnings,
        context_of(run) if options.record else None,
        str(folder),
    )
    for warning in warnings:
        tell(f"Not steady: {warning}")
    if options.as_json:
        print_json(bare_envelope("bench", as_json(benchmark)))
        return
    say(heading(benchmark))
    show(as_text(benchmark))
    per_request = per_request_as_text(benchmark.context) if benchmark.context else None
    if per_request:
        click.echo("")
        show(per_request)
