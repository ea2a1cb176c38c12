"""Load in short rounds: wrk, pinned, with the whole distribution of latencies.

`python -m netprobe.lab.load FILE` runs the rounds that a file asks for and writes what came of them into it, so that
a recording can last exactly as long as they do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netprobe.lab.errors import LabError
from netprobe.lab.wrk import wrk_command

_SCRIPT = Path(__file__).with_name("report.lua")
_GRACE_SECONDS = 30.0
_TOTALS = re.compile(
    r"^netprobe-load (\d+) requests (\d+) us \d+ bytes "
    r"(\d+) connect (\d+) read (\d+) write (\d+) status (\d+) timeout$",
    re.MULTILINE,
)
_LATENCY = re.compile(r"^netprobe-latency (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What a round does.

    `generators`: the CPUs of each load generator, as taskset writes them (`0-2`); empty text for one that may run
    anywhere. `connections` and `threads` are those of each. Whole seconds only: wrk knows no others.
    """

    url: str
    seconds: int = 1
    generators: tuple[str, ...] = ("",)
    connections: int = 16
    threads: int = 1
    namespace: str = ""


@dataclass(frozen=True)
class Round:
    """What one round gave."""

    started: float
    """Seconds since the epoch."""
    seconds: float
    requests: int
    errors: int
    latency_us: Mapping[int, int]
    """Latency in µs -> requests; as wrk corrects it for requests that it could not send in time."""

    @property
    def per_second(self) -> float:
        """Requests answered by second."""
        return self.requests / self.seconds

    def percentile(self, percent: float) -> float:
        """The latency in µs that this share of the requests did not exceed."""
        return percentile(self.latency_us, percent)


def percentile(latency_us: Mapping[int, int], percent: float) -> float:
    """The smallest latency that this share of the requests did not exceed; 0 without any."""
    wanted = sum(latency_us.values()) * percent / 100
    seen = 0
    for us in sorted(latency_us):
        seen += latency_us[us]
        if seen >= wanted:
            return float(us)
    return 0.0


def run_round(load: Load) -> Round:
    """One round with all generators at once. Raises `LabError` if one of them fails, or nothing was answered."""
    started = time.time()
    running: list[subprocess.Popen[str]] = []
    try:
        for cpus in load.generators:
            running.append(_start(load, cpus))
        said = [_finish(one, load.seconds + _GRACE_SECONDS) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    return _together(started, [parse(text) for text in said], load.url)


def run_rounds(load: Load, rounds: int, on_round: Callable[[Round], None] = lambda one: None) -> list[Round]:
    """Rounds one after another; `on_round` is told of each."""
    found = []
    for _ in range(rounds):
        found.append(run_round(load))
        on_round(found[-1])
    return found


def parse(text: str) -> Round:
    """The round in one generator's output; raises `LabError` if there is none. Its start is not known."""
    totals = _TOTALS.search(text)
    if not totals:
        raise LabError(f"wrk's output has no result: {text.strip()[:500]}")
    requests, us, *errors = map(int, totals.groups())
    latency = {int(value): int(count) for value, count in _LATENCY.findall(text)}
    return Round(0.0, us / 1e6, requests, sum(errors), latency)


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
        raise LabError(f"{command[0]} is not here.", hint="Install the packages util-linux and iproute2.") from error


def _finish(one: subprocess.Popen[str], seconds: float) -> str:
    try:
        text, _ = one.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise LabError(f"wrk did not end within {seconds:.0f} s.") from None
    if one.returncode:
        raise LabError(f"wrk failed: {text.strip()[:500] or f'exit status {one.returncode}'}")
    return text


def _together(started: float, parts: list[Round], url: str) -> Round:
    latency: Counter[int] = Counter()
    for part in parts:
        latency.update(part.latency_us)
    requests = sum(part.requests for part in parts)
    if not requests:
        raise LabError(f"{url} answered nothing.", hint="Is it a server that speaks HTTP, and does it listen there?")
    seconds = max(part.seconds for part in parts)
    return Round(started, seconds, requests, sum(part.errors for part in parts), dict(latency))


def as_plain(one: Round) -> dict[str, Any]:
    """For JSON."""
    return asdict(one) | {"latency_us": sorted(one.latency_us.items())}


def from_plain(one: Mapping[str, Any]) -> Round:
    """The same back."""
    return Round(**{**one, "latency_us": dict(map(tuple, one["latency_us"]))})


def write_order(path: Path, load: Load, rounds: int) -> list[str]:
    """Write an order for rounds into a file, and return the command that carries it out."""
    path.write_text(json.dumps({"load": asdict(load), "rounds": rounds}))
    return [sys.executable, "-m", "netprobe.lab.load", str(path)]


def read_results(path: Path) -> list[Round]:
    """The rounds that an order gave; raises `LabError` with the reason where it was not carried out."""
    document = json.loads(path.read_text())
    if "results" not in document:
        raise LabError(
            document.get("error", "the load generator did not finish its rounds"), hint=document.get("hint", "")
        )
    return [from_plain(one) for one in document["results"]]


def _carry_out(path: Path) -> int:
    order = json.loads(path.read_text())
    load = Load(**{**order["load"], "generators": tuple(order["load"]["generators"])})
    answer: dict[str, Any] = {}
    try:
        answer["results"] = [as_plain(one) for one in run_rounds(load, order["rounds"])]
    except LabError as error:
        answer.update(error=error.message, hint=error.hint)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(order | answer))
    os.replace(aside, path)
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(_carry_out(Path(sys.argv[1])))
