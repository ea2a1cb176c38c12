"""`perf script` text of 50 MB and more to folded stacks, compared with inferno (limit: 1.5 times)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from spread import describe, line

from netprobe.lab.nginx import Nginx
from netprobe.load.generator import wrk_command

INFERNO = Path(sys.executable).with_name("flamegraph")
LIMIT = 1.5
_MIN_BYTES = 50_000_000
_SECONDS = 10
_OURS = "import sys, flamegraph; flamegraph.read(sys.argv[1]).write(sys.argv[2])"


def record(folder: Path) -> Path:
    """Text of nginx under load, sampled with call chains often enough for 50 MB."""
    text = folder / "perf.txt"
    with Nginx() as nginx:
        load = subprocess.Popen(
            wrk_command(f"http://127.0.0.1:{nginx.port}/", _SECONDS + 2, connections=32), stdout=subprocess.DEVNULL
        )
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-a", "-g", "-o", "perf.data"]
        subprocess.run([*command, "--", "sleep", str(_SECONDS)], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        load.wait()
    with text.open("wb") as output:
        subprocess.run(
            ["perf", "script", "-i", "perf.data"], cwd=folder, check=True, stdout=output, stderr=subprocess.DEVNULL
        )
    _enlarge(text)
    return text


def _enlarge(text: Path) -> None:
    """Repeat the text up to 50 MB, where the machine was too idle."""
    content = text.read_bytes()
    with text.open("ab") as output:
        while output.tell() < _MIN_BYTES:
            output.write(content)


def inferno(text: Path, folder: Path) -> float:
    """Seconds of inferno within cargo-flamegraph, with a `perf` that prints the text."""
    for name, script in (("perf", f'exec cat "{text}"'), ("keep", f'cat > "{folder}/inferno.folded"; echo "a 1"')):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    command = [INFERNO, "--perfdata", text, "--post-process", folder / "keep", "-o", folder / "one-frame.svg"]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def ours(text: Path, folder: Path) -> float:
    """Seconds of a new Python that reads the text and writes folded stacks."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _OURS, text, folder / "ours.folded"], check=True)
    return time.perf_counter() - began


def compare(text: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Both alternately, after one warm-up run each."""
    times: dict[str, list[float]] = {"inferno": [], "netprobe": []}
    for number in range(rounds + 1):
        for name, function in (("inferno", inferno), ("netprobe", ours)):
            seconds = function(text, folder)
            if number:
                times[name].append(seconds)
    results = {f"{name}_s": describe(values) for name, values in times.items()}
    for name, values in times.items():
        print(line(f"{name}: {text.stat().st_size / 1e6:.0f} MB to folded", values, "s"))
    ratio = results["netprobe_s"]["median"] / results["inferno_s"]["median"]
    print(f"{'netprobe / inferno':34} {ratio:.2f} (limit {LIMIT})")
    lines = [set((folder / f"{name}.folded").read_bytes().splitlines()) for name in ("inferno", "ours")]
    print(f"{'lines that differ':34} {len(lines[0] ^ lines[1])} of {len(lines[0])}")
    return results | {"ratio": ratio, "different_lines": len(lines[0] ^ lines[1]), "bytes": text.stat().st_size}


def run(rounds: int) -> dict[str, Any]:
    """Print and return the comparison."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(record(Path(folder)), Path(folder), max(3, rounds // 2))
