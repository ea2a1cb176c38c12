"""Throughput of nginx under wrk with each tool, as a ratio to the throughput without a tool in the same round.

The resolution is a few percent; bench/alternating.py has a better one.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from others import with_tracefs
from spread import describe, line

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.load.generator import run_wrk

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_LOAD_SECONDS = 2
# Tools that cost most of the throughput need few rounds.
_COSTLY_ROUNDS = 3
# netprobe prints when it is attached; the other tools get a fixed time.
_SETTLE_SECONDS = 1.5


def _tools(pids: list[int]) -> dict[str, list[str]]:
    master, listed = str(pids[0]), ",".join(map(str, pids))
    tools = {
        "netprobe syscalls": [NETPROBE, "syscalls", "-p", master, "-d", "600"],
        "netprobe locality": [NETPROBE, "locality", "-p", master, "-d", "600"],
        "netprobe syscalls and switches": [sys.executable, str(Path(__file__).with_name("counting_twice.py")), master],
    }
    if program := shutil.which("bpftrace"):
        count = "tracepoint:raw_syscalls:sys_enter { @[comm, args->id] = count(); }"
        tools["bpftrace, system calls"] = with_tracefs(program, "-e", count)
    if program := shutil.which("strace"):
        tools["strace -c -f"] = [program, "-c", "-f", *(flag for pid in pids for flag in ("-p", str(pid)))]
    if program := shutil.which("perf"):
        tools["perf trace -s"] = with_tracefs(program, "trace", "-s", "-p", listed)
    return tools


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run a tool; enter the context when it is attached."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    try:
        if "netprobe" in command[0] or command[0] == sys.executable:
            while b"Attached" not in process.stderr.readline():
                pass
        else:
            time.sleep(_SETTLE_SECONDS)
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {process.stderr.read().decode(errors='replace')}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)
        if process.poll() is None:
            process.kill()
            process.wait()


def run(rounds: int) -> dict[str, Any]:
    """Interleaved: each round has each tool once, between two loads without a tool."""
    with Nginx(NginxOptions(workers=1)) as nginx:
        tools = _tools([nginx.pid, *nginx.workers()])
        ratios: dict[str, list[float]] = {name: [] for name in tools}
        alone: list[float] = []
        run_wrk(nginx.url, _LOAD_SECONDS)
        for number in range(rounds):
            order = list(tools)[number % len(tools) :] + list(tools)[: number % len(tools)]
            for name in order:
                if "netprobe" not in name and number >= _COSTLY_ROUNDS:
                    continue
                before = run_wrk(nginx.url, _LOAD_SECONDS).per_second
                with running(tools[name]):
                    during = run_wrk(nginx.url, _LOAD_SECONDS).per_second
                after = run_wrk(nginx.url, _LOAD_SECONDS).per_second
                alone += [before, after]
                ratios[name].append(during / statistics.mean((before, after)))
    print(line("nothing: requests per second", alone, "", 0))
    for name, values in ratios.items():
        print(line(name, values, "of the throughput"))
    return {
        "alone_per_second": describe(alone),
        "ratio": {name: describe(values) for name, values in ratios.items()},
    }
