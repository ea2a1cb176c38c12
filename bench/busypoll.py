"""Throughput of the busy-polling lab server with `netprobe busypoll`, as a ratio to the throughput without it."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from spread import describe, line
from throughput import running

from netprobe.lab.namespaces import Lab, LabOptions, lab
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command
from netprobe.load.reports import parse_wrk

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_LOAD_SECONDS = 2
_SERVER = ServerOptions(threads=1, cpus=(0,), epoll_timeout_us=100, busy_poll_us=200, prefer=True)
_LAB = LabOptions(queues=1, defer=True, busy_poll_us=50)


def _load(bed: Lab, server: LabServer) -> float:
    url = f"http://{bed.server.address}:{server.port}/"
    command = ["ip", "netns", "exec", bed.client.namespace, "taskset", "-c", "1"]
    done = subprocess.run(
        [*command, *wrk_command(url, _LOAD_SECONDS, connections=16)],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LOAD_SECONDS + 30,
    )
    return parse_wrk(done.stdout).per_second


def run(rounds: int) -> dict[str, Any]:
    """Interleaved: without, with, without in every round."""
    ratios, alone = [], []
    with lab(_LAB) as bed:
        options = ServerOptions(**{**vars(_SERVER), "address": bed.server.address})
        with LabServer(options, namespace=bed.server.namespace) as server:
            _load(bed, server)
            for _ in range(rounds):
                before = _load(bed, server)
                with running([NETPROBE, "busypoll", "-p", str(server.pid), "-d", "600"]):
                    during = _load(bed, server)
                after = _load(bed, server)
                alone += [before, after]
                ratios.append(during / statistics.mean((before, after)))
    print(line("nothing: requests per second", alone, "", 0))
    print(line("netprobe busypoll", ratios, "of the throughput"))
    return {"alone_per_second": describe(alone), "ratio": describe(ratios)}
