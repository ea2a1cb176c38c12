"""Runs wrk in short rounds, pinned to CPUs, with the whole distribution of latencies.

`python -m netprobe.load.generator FILE` runs the rounds that a file orders and writes their results into it, so that
a recording can last exactly as long as they do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netprobe.errors import NetprobeError
from netprobe.load.reports import WrkResult, parse_round, parse_wrk
from netprobe.load.rounds import Round

_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Load:
    """The load of one round.

    `generators`: the CPUs of each load generator, as taskset writes them (`0-2`); an empty text for a generator that
    is not pinned. `connections` and `threads` are those of each generator. wrk accepts whole seconds only.
    """

    url: str
    seconds: int = 1
    generators: tuple[str, ...] = ("",)
    connections: int = 16
    threads: int = 1
    namespace: str = ""


def wrk_command(url: str, seconds: int, connections: int = 16, threads: int = 1) -> list[str]:
    """The command line of wrk."""
    program = shutil.which("wrk")
    if program is None:
        raise NetprobeError("wrk is not installed.", hint="Install the package wrk.")
    return [program, f"-t{threads}", f"-c{connections}", f"-d{seconds}s", url]


def run_wrk(url: str, seconds: int, connections: int = 16, threads: int = 1) -> WrkResult:
    """Run wrk to its end."""
    done = subprocess.run(
        wrk_command(url, seconds, connections, threads),
        capture_output=True,
        text=True,
        timeout=seconds + _GRACE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NetprobeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse_wrk(done.stdout)


def run_round(load: Load) -> Round:
    """Run all generators at once. Raises `NetprobeError` if one of them fails, or no request was answered."""
    started = time.time()
    running: list[subprocess.Popen[str]] = []
    try:
        for cpus in load.generators:
            running.append(_start(load, cpus))
        outputs = [_finish(process, load.seconds + _GRACE_SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return _total([parse_round(text, started) for text in outputs], load.url)


def run_rounds(load: Load, rounds: int, on_round: Callable[[Round], None] = lambda one: None) -> list[Round]:
    """Run rounds one after another; `on_round` is called with each."""
    results = []
    for _ in range(rounds):
        results.append(run_round(load))
        on_round(results[-1])
    return results


def _start(load: Load, cpus: str) -> subprocess.Popen[str]:
    program, *rest = wrk_command(load.url, load.seconds, load.connections, load.threads)
    command = [program, "-s", str(_SCRIPT), *rest]
    if cpus:
        command = ["taskset", "-c", cpus, *command]
    if load.namespace:
        command = ["ip", "netns", "exec", load.namespace, *command]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError as error:
        raise NetprobeError(
            f"{command[0]} is not installed.", hint="Install the packages util-linux and iproute2."
        ) from error


def _finish(process: subprocess.Popen[str], seconds: float) -> str:
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise NetprobeError(f"wrk did not end within {seconds:.0f} s.") from None
    if process.returncode:
        raise NetprobeError(f"wrk failed: {text.strip()[:500] or f'exit status {process.returncode}'}")
    return text


def _total(parts: list[Round], url: str) -> Round:
    """The round of all generators together."""
    latency: Counter[int] = Counter()
    for part in parts:
        latency.update(part.latency_us)
    requests = sum(part.requests for part in parts)
    if not requests:
        raise NetprobeError(
            f"{url} answered no request.", hint="Check that a server listens there and that it speaks HTTP."
        )
    seconds = max(part.seconds for part in parts)
    return Round(parts[0].started, seconds, requests, sum(part.errors for part in parts), dict(latency))


# ---- Rounds in another process ----


def write_order(path: Path, load: Load, rounds: int) -> list[str]:
    """Write an order for rounds into a file, and return the command that runs them."""
    path.write_text(json.dumps({"load": asdict(load), "rounds": rounds}))
    return [sys.executable, "-m", "netprobe.load.generator", str(path)]


def read_results(path: Path) -> list[Round]:
    """The rounds of an order; raises `NetprobeError` with the reason if they were not run."""
    document = json.loads(path.read_text())
    if "results" not in document:
        raise NetprobeError(
            document.get("error", "The load generator did not finish its rounds."), hint=document.get("hint", "")
        )
    return [_round_of(result) for result in document["results"]]


def _plain(result: Round) -> dict[str, Any]:
    return asdict(result) | {"latency_us": sorted(result.latency_us.items())}


def _round_of(plain: Mapping[str, Any]) -> Round:
    return Round(**{**plain, "latency_us": dict(map(tuple, plain["latency_us"]))})


def _run_order(path: Path) -> int:
    order = json.loads(path.read_text())
    load = Load(**{**order["load"], "generators": tuple(order["load"]["generators"])})
    answer: dict[str, Any] = {}
    try:
        answer["results"] = [_plain(result) for result in run_rounds(load, order["rounds"])]
    except NetprobeError as error:
        answer.update(error=error.message, hint=error.hint)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(order | answer))
    os.replace(temporary, path)
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(_run_order(Path(sys.argv[1])))
