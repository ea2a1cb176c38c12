"""Time to the table of groups, nanoseconds per message, and completeness of the counts at full speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spread import describe, line

from netprobe.engine.bcc_compiler import import_bcc
from netprobe.engine.bpf import run_time_statistics
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command
from netprobe.load.reports import parse_wrk

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_LOAD_SECONDS = 3
_EMPTY = """
RAW_TRACEPOINT_PROBE(tcp_rcv_space_adjust) { return 0; }
RAW_TRACEPOINT_PROBE(net_dev_start_xmit) { return 0; }
"""
_PROGRAMS = {"on_read": "tcp_rcv_space_adjust", "on_send": "net_dev_start_xmit"}


def _time_to_groups(rounds: int) -> list[float]:
    times = []
    with LabServer(ServerOptions(threads=2, cpus=(0, 1), steer="cbpf", listeners=62)) as server:
        for _ in range(rounds):
            began = time.perf_counter()
            done = subprocess.run(
                [NETPROBE, "locality", "-p", str(server.pid), "--groups-only", "--json"],
                capture_output=True,
                check=True,
            )
            times.append(time.perf_counter() - began)
            (group,) = json.loads(done.stdout)["groups"]
            assert group["size"] == len(group["members"]) == 64, group["size"]
    return times


def _under_load(server: LabServer) -> tuple[int, int, dict[str, Any]]:
    """Requests counted by wrk, messages counted by netprobe, and the result of a recording around the load."""
    watch = subprocess.Popen(
        [NETPROBE, "locality", "-p", str(server.pid), "-d", str(_LOAD_SECONDS + 3), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stderr
    assert watch.stdout
    while "Attached" not in watch.stderr.readline():
        pass
    url = f"http://127.0.0.1:{server.port}/"
    loads = [
        subprocess.Popen(
            ["taskset", "-c", str(cpu), *wrk_command(url, _LOAD_SECONDS, connections=32)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for cpu in sorted(os.sched_getaffinity(0))[:2]
    ]
    requests = sum(parse_wrk(load.communicate()[0]).requests for load in loads)
    document: dict[str, Any] = json.loads(watch.communicate()[0])
    return requests, document["verdict"]["messages"], document


def _programs() -> dict[int, dict[str, Any]]:
    return {
        p["id"]: p
        for p in json.loads(subprocess.run(["bpftool", "-j", "prog"], capture_output=True, check=True).stdout)
    }


def run(rounds: int) -> dict[str, Any]:
    """Prints and returns all three."""
    results: dict[str, Any] = {"groups_s": describe(_time_to_groups(rounds))}
    print(line("64 listeners: command to table", results["groups_s"]["values"], "s"))
    costs: dict[str, list[float]] = {}
    counted: list[float] = []
    with LabServer(ServerOptions(threads=2, cpus=(0, 1), steer="cbpf")) as server, run_time_statistics():
        empty = import_bcc().BPF(text=_EMPTY)
        known = set(_programs())
        for _ in range(max(3, rounds // 3)):
            before = _programs()
            requests, messages, document = _under_load(server)
            after = _programs()
            counted.append(messages / requests)
            # The empty programs ran at the same events; netprobe's statistics cover a part of the time.
            for number in known & set(before) & set(after):
                name = after[number].get("name", "?")
                runs = after[number].get("run_cnt", 0) - before[number].get("run_cnt", 0)
                if runs > requests // 2:
                    taken = after[number].get("run_time_ns", 0) - before[number].get("run_time_ns", 0)
                    costs.setdefault(f"empty {name}", []).append(taken / runs)
            for program in document["cost"]["programs"]:
                if program["program"] in _PROGRAMS:
                    costs.setdefault(program["program"], []).append(program["mean_ns"])
            rate = requests / _LOAD_SECONDS
            print(f"  {rate:.0f} requests per second, {messages} messages counted of {requests}", flush=True)
        empty.cleanup()
    for name, values in sorted(costs.items()):
        print(line(name, values, "ns an event", 1))
    floors = [describe(values)["median"] for name, values in costs.items() if name.startswith("empty")]
    own = [describe(costs[name])["median"] for name in _PROGRAMS if name in costs]
    above = sum(own) - sum(floors)
    print(f"{'both programs above empty ones':34} {above:.1f} ns a message")
    print(line("messages counted of requests", counted, "", 5))
    return results | {
        "ns_per_event": {name: describe(values) for name, values in costs.items()},
        "above_empty_ns_per_message": above,
        "counted_of_requests": describe(counted),
    }
