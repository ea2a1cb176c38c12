"""Load from wrk, and what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from netprobe.lab.errors import LabError

_REQUESTS = re.compile(r"(\d+) requests in")
_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True)
class WrkResult:
    """Requests answered, by second, and failed in any way."""

    requests: int
    per_second: float
    errors: int


def wrk_command(url: str, seconds: int, connections: int = 16, threads: int = 1) -> list[str]:
    """The command line; whole seconds only."""
    program = shutil.which("wrk")
    if program is None:
        raise LabError("wrk is not installed.", hint="Install the package wrk.")
    return [program, f"-t{threads}", f"-c{connections}", f"-d{seconds}s", url]


def parse_wrk(text: str) -> WrkResult:
    """The counts in wrk's output; raises `LabError` if it has none."""
    requests, rate = _REQUESTS.search(text), _RATE.search(text)
    if not requests or not rate:
        raise LabError(f"wrk's output has no result: {text.strip()[:500]}")
    errors = _SOCKET_ERRORS.search(text)
    failed = sum(map(int, errors.groups())) if errors else 0
    return WrkResult(int(requests[1]), float(rate[1]), failed)


def run_wrk(url: str, seconds: int, connections: int = 16, threads: int = 1) -> WrkResult:
    """Run wrk to its end."""
    done = subprocess.run(
        wrk_command(url, seconds, connections, threads),
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    if done.returncode:
        raise LabError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse_wrk(done.stdout)
