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
    """What was asked for."""

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
        """Where the Run goes."""
        return self.output or Path(f"bench-{time.strftime('%Y%m%d-%H%M%S')}")


@click.command(short_help="Throughput and latency in repeated short rounds, kept for comparisons.")
@click.argument("url")
@click.option("-c", "--connections", default=16, show_default=True, type=click.IntRange(1, 100_000), help="Of wrk.")
@click.option("-t", "--threads", default=1, show_default=True, type=click.IntRange(1, 1024), help="Of wrk.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(2, 10_000), help="How many.")
@click.option(
    "-d", "--duration", "seconds", default=1, show_default=True, type=click.IntRange(1, 3600), metavar="SECONDS",
    help="Of each round, in whole seconds.",
)  # fmt: skip
@click.option(
    "--warm-up", default=1, show_default=True, type=click.IntRange(1, 3600), metavar="SECONDS", help="Before."
)
@click.option("--cpus", metavar="LIST", help="CPUs of wrk, such as 2,3 or 2-3 [those where the server is not].")
@click.option("-p", "--pid", type=click.IntRange(1), metavar="PID", help="The server [who listens at the URL's port].")
@click.option("--record", is_flag=True, help="Record the server at the same time: numbers by request are exact.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Where to [bench-TIME].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(**arguments: object) -> None:
    """Load URL with wrk in rounds, after a warm-up, and keep every round.

    RUN gets bench.json, a suite for `pyperf stats` and `pyperf compare_to`. Means come with 95 % intervals, from the
    rounds' own spread. wrk is pinned to CPUs where the server is not, where there are such. What keeps the machine
    from giving steady numbers is said.

    \b
    netprobe bench http://127.0.0.1:8080/ -o before
    netprobe bench http://127.0.0.1:8080/ --record -o after
    python -m pyperf compare_to before/bench.json after/bench.json
    """
    _bench(BenchOptions(**arguments))  # type: ignore[arg-type]


def _bench(options: BenchOptions) -> None:
    from netprobe.load.steadiness import CpuTimes, advice, load_per_cpu
    from netprobe.run.store import check_destination

    folder = options.folder
    check_destination(folder)
    pid = options.pid or _server(options)
    before, advised = load_per_cpu(), advice()
    # The warm-up also shows which of the server's threads are at work, and so on which CPUs.
    first, server_cpus = _warmed_up(options, pid)
    load, place = _load(options, server_cpus)
    ticks = CpuTimes.now()
    tell(f"{options.rounds} rounds of {options.seconds} s each; {place}.")
    if options.record:
        assert pid is not None
        rounds, run = _recorded(pid, load, options.rounds)
    else:
        rounds = _measured(load, options.rounds)
        run = _plain_run(options, rounds)
    warnings = [*advised, *_unsteady(before, ticks.stolen_pct(CpuTimes.now()), rounds, load)]
    _keep(run, rounds, first, options, load, folder)
    _show(options, rounds, run, place, warnings, folder)


def _server(options: BenchOptions) -> int | None:
    """Who listens at the URL; None where that is not this machine, or not known and not needed."""
    from urllib.parse import urlsplit

    from netprobe.load.serving_process import is_here, listening_processes

    try:
        parts = urlsplit(options.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (KeyError, ValueError):
        host, port = "", 0
    if not host:
        raise NetprobeError(f"{options.url!r} is not a URL for wrk.", hint="Write it like http://127.0.0.1:8080/path")
    found = listening_processes(port) if is_here(host) else []
    if options.record and len(found) != 1:
        who = f"processes {', '.join(map(str, found))}" if found else "nobody that can be seen"
        raise NetprobeError(
            f"Whom to record is not clear: at {host} port {port} listens {who}.", hint="Name the server with -p PID."
        )
    return found[0] if len(found) == 1 else None


def _warmed_up(options: BenchOptions, pid: int | None) -> tuple[Round, set[int]]:
    """The warm-up's round, and the CPUs of the server's busy threads; none where it is not known."""
    from netprobe.load.generator import Load, run_round
    from netprobe.load.serving_process import busy_cpus, cpu_times

    load = Load(options.url, options.warm_up, (options.cpus or "",), options.connections, options.threads)
    before = cpu_times(pid) if pid else {}
    first = run_round(load)
    return first, busy_cpus(before, cpu_times(pid)) if pid else set()


def _load(options: BenchOptions, server_cpus: set[int]) -> tuple[Load, str]:
    """Where wrk runs, and in words."""
    import os

    from netprobe.load.generator import Load

    cpus, where = options.cpus, "as asked for"
    if cpus is None:
        free = sorted(os.sched_getaffinity(0) - server_cpus)
        if not server_cpus:
            cpus, where = "", "where the server runs is not known"
        elif free:
            cpus, where = ",".join(map(str, free)), f"the server's are {_list(server_cpus)}"
        else:
            cpus, where = "", f"the server may use all of them: {_list(server_cpus)}"
    words = f"wrk with {options.connections} connections on {f'CPU {cpus}' if cpus else 'any CPU'} ({where})"
    return Load(options.url, options.seconds, (cpus,), options.connections, options.threads), words


def _list(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))


def _measured(load: Load, rounds: int) -> list[Round]:
    from netprobe.load.generator import run_rounds

    return run_rounds(load, rounds)


def _recorded(pid: int, load: Load, rounds: int) -> tuple[list[Round], Run]:
    from netprobe.commands.shared.loaded import record_load

    return record_load(pid, load, rounds, _FREQUENCY)


def _plain_run(options: BenchOptions, rounds: list[Round]) -> Run:
    """A Run of the load alone."""
    import datetime

    from netprobe import __version__
    from netprobe.engine.host import describe_host
    from netprobe.run.model import FORMAT_VERSION, Run

    started = datetime.datetime.fromtimestamp(rounds[0].started, datetime.UTC).isoformat(timespec="milliseconds")
    info = {
        "format_version": FORMAT_VERSION,
        "netprobe_version": __version__,
        "host": describe_host(),
        "target": {
            "description": f"load on {options.url}", "pids": [], "comm": None, "command": [], "threads": 0,
            "exit_status": None,
        },
        "recording": {
            "started": started, "seconds": sum(one.seconds for one in rounds), "intervals": 0, "stopped_by": "time",
        },
        "probes": [], "attached": [], "attach_mechanisms": {}, "unavailable": [], "dropped": [],
        "cost": {
            "programs": [], "accounted_seconds": 0.0, "estimated_cpu_pct_of_one": None, "attach_seconds": 0.0,
            "peak_resident_kib": 0,
        },
        "requests": {"count": sum(one.requests for one in rounds), "source": "the load generator"},
    }  # fmt: skip
    return Run(info, {})


def _unsteady(load_before: float, stolen_pct: float, rounds: list[Round], load: Load) -> list[str]:
    """What was seen of this very benchmark."""
    from netprobe.analysis.confidence import spread_pct

    spread = spread_pct([one.per_second for one in rounds])
    said = {
        f"Others used the CPUs before it began: {load_before:.1f} threads a CPU wanted to run.": load_before > 0.5,
        f"The host of this virtual machine took {stolen_pct:.1f} % of the CPU time.": stolen_pct > 1,
        "The load generator may share CPUs with the server: what is measured is both.": not load.generators[0],
        f"The rounds differ much: their standard deviation is {spread:.1f} % of the mean.": spread > 5,
        f"{sum(one.errors for one in rounds)} requests failed.": any(one.errors for one in rounds),
        "Too few requests for a p99.99: fewer than 10,000 a round.": min(one.requests for one in rounds) < 10_000,
    }
    return [words for words, holds in said.items() if holds]


def _keep(run: Run, rounds: list[Round], first: Round, options: BenchOptions, load: Load, folder: Path) -> None:
    from netprobe.commands.shared.loaded import with_rounds, write_with_suite
    from netprobe.commands.shared.recording import tell_written
    from netprobe.load.rounds import suite

    metadata = {
        "url": options.url,
        "load": f"wrk -c{load.connections} -t{load.threads} -d{load.seconds}s",
        "load_cpus": load.generators[0] or "any",
        "recorded": "yes" if options.record else "no",
    }
    tell_written(folder, write_with_suite(with_rounds(run, rounds), folder, suite(rounds, [first], metadata)))


def _show(options: BenchOptions, rounds: list[Round], run: Run, place: str, warnings: list[str], folder: Path) -> None:
    from netprobe.analysis.confidence import mean, spread_pct
    from netprobe.load.rounds import PERCENTILES
    from netprobe.render.bench import Benchmark, as_json, as_text, heading, per_request_as_text
    from netprobe.render.json import bare_envelope
    from netprobe.render.text import say, show
    from netprobe.rules.context import RunContext

    rates = [one.per_second for one in rounds]
    shown = Benchmark(
        options.url,
        place,
        len(rounds),
        sum(one.requests for one in rounds),
        sum(one.errors for one in rounds),
        mean(rates),
        spread_pct(rates),
        {f"p{percent:g}": mean([one.percentile(percent) for one in rounds]) for percent in PERCENTILES},
        warnings,
        RunContext(run) if options.record else None,
        str(folder),
    )
    for warning in warnings:
        tell(f"Not steady: {warning}")
    if options.as_json:
        print_json(bare_envelope("bench", as_json(shown)))
        return
    say(heading(shown))
    show(as_text(shown))
    figures = per_request_as_text(shown.context) if shown.context else None
    if figures:
        click.echo("")
        show(figures)
