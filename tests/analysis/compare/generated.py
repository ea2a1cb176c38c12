"""Generated Runs with known rates, a drifting load, and autocorrelation between intervals, as in real Runs."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from netprobe.run.description import RunInfo
from netprobe.run.model import Run
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table

STACKS = {
    ("main", "loop", "epoll_wait"): 0.2,
    ("main", "loop", "handle", "recv"): 0.25,
    ("main", "loop", "handle", "send"): 0.35,
    ("main", "loop", "handle", "parse"): 0.2,
}


@dataclass
class Server:
    """The server of a generated Run: rates per request, and per second."""

    load: float = 20_000.0
    calls: dict[str, float] = field(default_factory=lambda: {"recvfrom": 1.0, "sendto": 1.0, "epoll_wait": 0.5})
    ticks: float = 100.0
    stacks: dict[tuple[str, ...], float] = field(default_factory=lambda: dict(STACKS))
    frequency: float = 999.0
    timeout: str = "infinite"
    info: dict[str, Any] = field(default_factory=dict)


def run_of(server: Server, seed: int, seconds: float = 10.0, intervals: int = 40, without: tuple[str, ...] = ()) -> Run:
    """A generated Run of a server."""
    random = np.random.default_rng(seed)
    length = np.full(intervals, seconds / intervals)
    requests = random.poisson(
        server.load * random.lognormal(0, 0.04) * length * np.exp(_drift(random, intervals, 0.15))
    )
    columns: dict[str, list[Any]] = {name: [] for name in ("interval", "tid", "thread", "syscall", "calls")}
    waits = random.lognormal(0, 0.08) * np.exp(_drift(random, intervals, 0.1))
    for interval in range(intervals):
        for name, rate in server.calls.items():
            mean = requests[interval] * rate
            count = int(random.poisson(mean * waits[interval])) if "wait" in name else round(mean)
            _add(columns, interval, 11, "reactor-0", name, count)
        _add(columns, interval, 12, "timer-0", "read", int(random.poisson(server.ticks * length[interval])))
    tables = _tables(columns, requests, length, server) + profile_tables(_profile(server, random, requests, length))
    info = {
        "host": {"hostname": "lab", "kernel": "6.1", "cpus_online": "0-1", "boot_parameters": "quiet"},
        "target": {"description": "process 11"},
        "recording": {"seconds": seconds, "intervals": intervals},
        "probes": ["syscalls", "switches", "locality", "stacks"],
        "dropped": [],
        "unavailable": [],
        "attach_mechanisms": {},
    } | server.info
    return Run(msgspec.convert(info, RunInfo), {table.name: table for table in tables if table.name not in without})


def _drift(random: np.random.Generator, intervals: int, size: float) -> np.ndarray:
    steps = random.normal(0, 1, intervals)
    for place in range(1, intervals):
        steps[place] += 0.5 * steps[place - 1]
    return size * steps * np.sqrt(0.75)


def _add(columns: dict[str, list[Any]], interval: int, tid: int, thread: str, call: str, count: int) -> None:
    for name, value in zip(columns, (interval, tid, thread, call, count), strict=True):
        columns[name].append(value)


def _tables(columns: dict[str, list[Any]], requests: Any, length: Any, server: Server) -> list[Table]:
    rows = len(columns["interval"])
    names = {"pid": [11] * rows, "process": ["server"] * rows}
    intervals = range(len(length))
    waits = [i for i, name in enumerate(columns["syscall"]) if name == "epoll_wait"]
    kept = {name: [values[i] for i in waits] for name, values in (columns | names).items()}
    many = len(intervals)
    messages = {
        "interval": list(intervals), "pid": [11] * many, "tid": [11] * many, "process": ["server"] * many,
        "thread": ["reactor-0"] * many, "rx_cpu": [0] * many, "cpu": [0] * many, "messages": requests,
        "accepted": requests,
    }  # fmt: skip
    timeouts = kept | {
        "timeout": [server.timeout] * len(waits), "timeout_log2_us": [-1] * len(waits),
        "timeout_total_ns": [0] * len(waits),
    }  # fmt: skip
    return [
        Table("intervals", {"interval": list(intervals), "duration_s": length, "machine_switches": [500] * many,
                         "machine_forks": [0] * many}),
        Table("threads", {"pid": [11, 11], "tid": [11, 12], "process": ["server"] * 2,
                          "thread": ["reactor-0", "timer-0"], "cpus_allowed": ["0", "0"]}),
        Table("programs", {"pid": [11], "path": ["/bin/server"], "build_id": ["ab" * 20], "size_bytes": [1000]}),
        Table("syscalls", columns | names),
        Table("syscall_timeouts", timeouts),
        Table("messages", messages),
    ]  # fmt: skip


def _profile(server: Server, random: np.random.Generator, requests: Any, length: Any) -> Profile:
    names = sorted({name for stack in server.stacks for name in stack})
    number = {name: place for place, name in enumerate(names)}
    start = np.concatenate(([0], np.cumsum([len(stack) for stack in server.stacks])))
    frame = np.array([number[name] for stack in server.stacks for name in stack])
    share = np.array(list(server.stacks.values()))
    busy = 0.6 * length * server.frequency * requests / requests.mean() * random.lognormal(0, 0.03)
    counts = random.poisson(busy[:, None] * share)
    interval, stack = np.nonzero(counts)
    count = counts[interval, stack]
    period = 1e9 / server.frequency
    info = Info("cpu-clock", "ns", float(length.sum()), float(length[0]), len(length))
    samples = Samples(stack, np.zeros(len(stack), np.int64), interval, count, count * period)
    frames = [Frame(name, "server", Kind.USER) for name in names]
    return Profile(frames, Stacks(start, frame), [Thread(11, 11, "reactor-0")], samples, info)
