"""Throughput of a server with netprobe's programs attached, in alternating slices of a fraction of a second.

From one second to the next, the throughput on a virtual machine may differ by a tenth; adjacent slices are similar, and
hundreds of pairs resolve a percent. Requests are counted by the packets of the loopback device, of which each request
needs the same number. Each set of probes is compared with empty programs on the same events, whose cost is that of
calling any program there. A slice of a duty-cycled recording is a sampling window and the time until the next one,
including attaching and detaching. As in a recording, run-time statistics are enabled and duty-cycled programs are
attached for a part of each slice. The work of netprobe in user space is measured as CPU time of the commands.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spread import describe
from throughput import NETPROBE

from netprobe.commands.shared.everything import LIGHT_SHARE, probes_of_record
from netprobe.engine.bcc_compiler import import_bcc
from netprobe.engine.bpf import run_time_statistics
from netprobe.engine.interval_loop import ACCOUNTED_SHARE
from netprobe.engine.options import RecordOptions
from netprobe.engine.program import Program
from netprobe.engine.target import Target
from netprobe.errors import NotPossibleHereError
from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command
from netprobe.probes import locality, serving, sockets, syscalls
from netprobe.probes.base import FallbackChain, Probe

_SLICE_S, _SETTLE_S = 0.2, 0.02
_LIGHT = "record --light"
_LIGHT_SLICE_S = 1.0
_PACKETS = Path("/sys/class/net/lo/statistics/rx_packets")
_COMMAND_S = 15

# Context with attached programs; it has a function that lasts for a slice.
Attach = Callable[[], contextlib.AbstractContextManager[Callable[[], None]]]


_SETS: dict[str, Callable[[], list[Probe]]] = {
    "syscalls": lambda: [syscalls.Probe()],
    "locality": lambda: [serving.Probe(), sockets.Probe(connections=False), locality.Probe()],
    "record": lambda: probes_of_record(99, duty_cycled=False),
    _LIGHT: lambda: probes_of_record(99, duty_cycled=True),
}
# The events that a busy server has by the hundred thousand.
_EVERYTHING = ("sys_enter", "sched_switch", "napi_poll", "tcp_rcv_space_adjust", "net_dev_start_xmit")
_EVENTS = {"syscalls": _EVERYTHING[:1], "locality": _EVERYTHING[3:], "record": _EVERYTHING}


class _Probes:
    """A set of probes that is attached repeatedly."""

    def __init__(self, probes: Sequence[Probe], pid: int, counted_share: float) -> None:
        options = RecordOptions(pids=(pid,), counted_share=counted_share)
        self._share = counted_share
        self._probes, self._program = probes, Program(probes, options)
        self._program.load()
        self._target = Target(self._program, options, None)
        self._target.follow()
        self._program.detach()

    @contextlib.contextmanager
    def attached(self) -> Iterator[Callable[[], None]]:
        for probe in self._probes:
            for point in probe.attach_points():
                with contextlib.suppress(NotPossibleHereError):
                    if isinstance(point, FallbackChain):
                        self._program.attach_fallback(point)
                    else:
                        self._program.attach(point)
        try:
            # Detaches the duty-cycled programs.
            with self._program.with_duty_cycled():
                pass
            if self._share < 1:
                self._program.rest()
                yield self._spend_light
            else:
                yield self._spend
        finally:
            self._program.detach()

    def _spend(self) -> None:
        accounted = ACCOUNTED_SHARE * _SLICE_S
        began = time.perf_counter()
        with self._program.with_duty_cycled(), run_time_statistics():
            time.sleep(accounted)
        time.sleep(max(0.0, _SLICE_S - (time.perf_counter() - began)))

    def _spend_light(self) -> None:
        length, began = self._share * _LIGHT_SLICE_S, time.perf_counter()
        with self._program.sampling_window():
            with self._program.with_duty_cycled(), run_time_statistics():
                time.sleep(ACCOUNTED_SHARE * length)
            time.sleep((1 - ACCOUNTED_SHARE) * length)
        time.sleep(max(0.0, _LIGHT_SLICE_S - (time.perf_counter() - began)))

    def close(self) -> None:
        self._target.close()
        self._program.close()


@contextlib.contextmanager
def _empty(bpf: Any, events: Sequence[str]) -> Iterator[Callable[[], None]]:
    for event in events:
        bpf.attach_raw_tracepoint(event.encode(), f"on_{event}".encode())
    try:
        yield _nothing
    finally:
        for event in events:
            bpf.detach_raw_tracepoint(event.encode())


def _nothing() -> None:
    time.sleep(_SLICE_S)


def _rate(spend: Callable[[], None] = _nothing) -> float:
    time.sleep(_SETTLE_S)
    began, packets = time.perf_counter(), int(_PACKETS.read_text())
    spend()
    return (int(_PACKETS.read_text()) - packets) / (time.perf_counter() - began)


def _alternate(attach: dict[str, Attach], cycles: int) -> dict[str, list[float]]:
    ratios: dict[str, list[float]] = {name: [] for name in attach}
    names = list(attach)
    for cycle in range(cycles):
        before = _rate()
        for name in names[cycle % len(names) :] + names[: cycle % len(names)]:
            with attach[name]() as spend:
                during = _rate(spend)
            after = _rate()
            ratios[name].append(during / statistics.mean((before, after)))
            before = after
    return ratios


def _median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and its 95 % confidence interval by ranks."""
    ranked, half = sorted(values), 0.98 * len(values) ** 0.5
    low, high = max(0, round(len(values) / 2 - half)), min(len(values) - 1, round(len(values) / 2 + half))
    return statistics.median(values), ranked[low], ranked[high]


def _own_cpu_ms(pid: int, names: Sequence[str]) -> dict[str, float]:
    """CPU time of the commands in user space, in milliseconds per second."""
    taken = {}
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as folder:
        for name in names:
            options = ["-o", f"{folder}/{name}"] if name.startswith("record") else []
            process = subprocess.Popen(
                [NETPROBE, *name.split(), "-p", str(pid), "-d", str(_COMMAND_S + 5), *options],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            assert process.stderr
            while b"Attached" not in process.stderr.readline():
                pass
            # After the work at the start.
            time.sleep(1)
            before = _cpu_s(process.pid)
            time.sleep(_COMMAND_S)
            taken[name] = (_cpu_s(process.pid) - before) / _COMMAND_S * 1e3
            process.communicate(timeout=60)
    return taken


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(target: str, pid: int, load: Sequence[str], names: Sequence[str], cycles: int) -> dict[str, Any]:
    """Measure sets of probes and their empty programs on a process under load."""
    with contextlib.ExitStack() as stack:
        attach: dict[str, Attach] = {}
        for name in names:
            one = _Probes(_SETS[name](), pid, LIGHT_SHARE if name == _LIGHT else 1.0)
            stack.callback(one.close)
            attach[name] = one.attached
        bpf = import_bcc().BPF(text="\n".join(f"int on_{event}(void *ctx) {{ return 0; }}" for event in _EVERYTHING))
        for name in [name for name in names if name in _EVENTS]:
            attach[f"empty programs, {name}"] = functools.partial(_empty, bpf, _EVENTS[name])
        process = subprocess.Popen(load, stdout=subprocess.DEVNULL)
        time.sleep(1)
        try:
            ratios = _alternate(attach, cycles)
            own = _own_cpu_ms(pid, names)
        finally:
            process.terminate()
            process.wait()
    for name, values in ratios.items():
        middle, low, high = _median(values)
        line = f"{f'{target}: {name}':34} {middle:.3f} of the throughput ({low:.3f} to {high:.3f}, {len(values)} pairs)"
        print(line, flush=True)
    for name, ms in own.items():
        print(f"{f'{target}: {name}, own work':34} {ms:.1f} ms of CPU time a second", flush=True)
    return {"ratio": {name: describe(values) for name, values in ratios.items()}, "own_ms_per_second": own}


def run(rounds: int) -> dict[str, Any]:
    """Ten pairs of slices a round."""
    cycles, seconds = rounds * 10, rounds * 60 + 120
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Nginx(NginxOptions(workers=1)) as nginx:
        results = {"nginx": _measure("nginx", nginx.pid, wrk_command(nginx.url, seconds), [*_SETS], cycles)}
    with LabServer(ServerOptions(threads=1, cpus=(0,))) as server:
        load = ["taskset", "-c", "1", *wrk_command(f"http://127.0.0.1:{server.port}/", seconds)]
        results["lab server"] = _measure("lab server", server.pid, load, ["record", _LIGHT], cycles)
    return results


if __name__ == "__main__":
    run(2)
