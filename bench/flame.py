"""A million samples to folded stacks and to a page, compared with `perf script` alone and with inferno."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spread import describe

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.load.generator import wrk_command

INFERNO = Path(sys.executable).with_name("flamegraph")
FOLDED_LIMIT, HTML_LIMIT, MEMORY_LIMIT_MB = 12, 10, 1000
_SAMPLES, _FIRST_SECONDS, _MAX_SECONDS = 900_000, 28, 90
_SLOW_ROUNDS = 3
_OURS = "import sys, flamegraph; flamegraph.read(sys.argv[1]).write(sys.argv[2])"
_COUNT = "import sys, flamegraph; p = flamegraph.read(sys.argv[1]); print(p.count, len(p.stacks), len(p.samples))"


class Cost(NamedTuple):
    """Time and memory of one run."""

    seconds: float
    peak_mb: float


def record(folder: Path) -> Path:
    """`perf record -F 20000 -a -g` of nginx under wrk, for as long as it takes."""
    path, seconds = folder / "perf.data", _FIRST_SECONDS
    while True:
        with Nginx(NginxOptions(workers=1)) as nginx:
            load = subprocess.Popen(wrk_command(nginx.url, seconds + 2, connections=50), stdout=subprocess.DEVNULL)
            command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "20000", "-a", "-g", "-o", str(path)]
            subprocess.run([*command, "--", "sleep", str(seconds)], check=True, stderr=subprocess.DEVNULL)
            load.wait()
        samples, stacks, rows = counts(path)
        if samples >= _SAMPLES or seconds >= _MAX_SECONDS:
            size = path.stat().st_size / 1e6
            print(f"{samples} samples in {seconds} s, {size:.0f} MB; {stacks} stacks by name, {rows} rows", flush=True)
            return path
        seconds = min(_MAX_SECONDS, int(seconds * 1.2 * _SAMPLES / max(samples, 1)) + 1)


def counts(path: Path) -> tuple[int, int, int]:
    """Samples, stacks by name, rows."""
    done = subprocess.run([sys.executable, "-c", _COUNT, path], check=True, capture_output=True, text=True)
    samples, stacks, rows = map(int, done.stdout.split())
    return samples, stacks, rows


def twice(path: Path, folder: Path) -> Path:
    """The records twice: twice the length, with the same stacks."""
    doubled = folder / "twice.data"
    with path.open("rb") as source, doubled.open("wb") as target:
        head = bytearray(source.read(104))
        at, size = struct.unpack_from("<QQ", head, 40)
        # Without features, which follow the data.
        head[48:56], head[72:104] = struct.pack("<Q", 2 * size), bytes(32)
        target.write(head + source.read(at - 104))
        for _ in range(2):
            source.seek(at)
            left = size
            while left:
                left -= target.write(source.read(min(left, 1 << 24)))
    return doubled


def cost(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end; the peak is that of the largest process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, stdin=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
    return Cost(seconds, usage.ru_maxrss * 1024 / 1e6)


def inferno(path: Path, folder: Path) -> Cost:
    """cargo-flamegraph, which contains inferno: `perf script`, collapsed, without drawing."""
    keep = folder / "keep"
    keep.write_text(f'#!/bin/sh\ncat > "{folder}/inferno.folded"; echo "a 1"\n')
    keep.chmod(0o755)
    return cost([INFERNO, "--perfdata", path, "--post-process", keep, "-o", folder / "one-frame.svg"])


def measure(path: Path, folder: Path, rounds: int) -> dict[str, list[Cost]]:
    """All commands in each round."""
    doubled = twice(path, folder)
    ours = [sys.executable, "-c", _OURS]
    found: dict[str, list[Cost]] = {}
    for number in range(rounds):
        runs: dict[str, Any] = {}
        if number < _SLOW_ROUNDS:
            runs["perf script > /dev/null"] = lambda: cost(["perf", "script", "-f", "-i", path])
            if INFERNO.exists():
                runs["perf script | inferno, folded"] = lambda: inferno(path, folder)
        runs["netprobe, folded"] = lambda: cost([*ours, path, folder / "ours.folded"])
        runs["netprobe, HTML"] = lambda: cost([*ours, path, folder / "ours.html"])
        runs["netprobe, folded, twice as long"] = lambda: cost([*ours, doubled, folder / "twice.folded"])
        for name, run_it in runs.items():
            found.setdefault(name, []).append(run_it())
    return found


def run(rounds: int) -> dict[str, Any]:
    """Print and return times, ratios and peaks."""
    if shutil.which("perf") is None:
        print("perf is not installed.")
        return {}
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as name:
        folder = Path(name)
        path = record(folder)
        found = measure(path, folder, max(3, rounds // 3))
        results: dict[str, Any] = {"samples": counts(path)[0], "bytes": path.stat().st_size}
    alone = describe([one.seconds for one in found["perf script > /dev/null"]])["median"]
    print(f"{'':34} {'median s':>9} {'quartiles':>17} {'× perf script':>14} {'peak MB':>8}")
    for name, costs in found.items():
        seconds = describe([one.seconds for one in costs])
        peak = max(one.peak_mb for one in costs)
        ratio = alone / seconds["median"]
        spread = f"{seconds['quartile_1']:.2f} – {seconds['quartile_3']:.2f}"
        print(f"{name:34} {seconds['median']:9.2f} {spread:>17} {ratio:14.1f} {peak:8.0f}")
        results[name] = {"seconds": seconds, "faster": ratio, "peak_mb": peak}
    print(
        f"Limits: folded {FOLDED_LIMIT} ×, HTML {HTML_LIMIT} ×, peak {MEMORY_LIMIT_MB} MB, also for twice the length."
    )
    return results
