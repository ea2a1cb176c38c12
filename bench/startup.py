"""Time from the command to the first counted event, peak memory, time of --help."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spread import describe, line

from netprobe.lab.nginx import Nginx

NETPROBE = str(Path(sys.executable).with_name("netprobe"))


def until_attached(arguments: list[str]) -> tuple[float, dict[str, Any]]:
    """Seconds from exec to the line that says "Attached", and the JSON result."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [NETPROBE, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert process.stdout
    while "Attached" not in process.stderr.readline():
        pass
    seconds = time.perf_counter() - began
    document: dict[str, Any] = json.loads(process.stdout.read())
    process.wait()
    return seconds, document


def run(rounds: int) -> dict[str, Any]:
    """Measure on an idle nginx."""
    results: dict[str, Any] = {}
    with Nginx() as nginx:
        for command in ("syscalls", "switches"):
            measured = [until_attached([command, "-p", str(nginx.pid), "-d", "0.3"]) for _ in range(rounds)]
            seconds = [time for time, _ in measured]
            peak_mb = [document["cost"]["peak_resident_kib"] * 1024 / 1e6 for _, document in measured]
            print(line(f"netprobe {command}: to attached", seconds, "s"))
            print(line(f"netprobe {command}: peak resident", peak_mb, "MB", 1))
            results[command] = {"attached_s": describe(seconds), "peak_resident_mb": describe(peak_mb)}
    results["help_s"] = describe(_help(rounds))
    print(line("netprobe --help", results["help_s"]["values"], "s"))
    return results


def _help(rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([NETPROBE, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return times
