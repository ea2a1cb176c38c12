"""Recording with all probes at once, as `netprobe record` does."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.shared.recording import LIGHT_SHARE, Request, record

if TYPE_CHECKING:
    from netprobe.engine.recorder import Observer
    from netprobe.load.generator import Load
    from netprobe.load.rounds import Round
    from netprobe.probes.base import Counted, Probe
    from netprobe.run.model import Run

_BLOCKS, _SHORTEST_BLOCK_S, _LONGEST_BLOCK_S = 40, 0.25, 1.0
# Fewer, as the kernel stops all CPUs for a moment where programs come and go.
_LIGHT_BLOCKS = 10
_MOST_FREQUENT = 10_000


def record_everything(request: Request, frequency: int, watch: Callable[[Counted], None] | None = None) -> Run:
    """All probes, and `frequency` stack samples a second and CPU; `watch` is given what was counted in each interval."""
    from netprobe.engine.observe_groups import GroupObserver
    from netprobe.engine.observe_polling import PollingObserver
    from netprobe.engine.observe_programs import ProgramObserver
    from netprobe.engine.observe_stacks import StackObserver
    from netprobe.probes import busypoll, locality, serving, sockets, stacks, switches, syscalls

    target = request.options()
    whole = target.whole_machine
    stack_observer = StackObserver(whole or bool(target.comm))
    probes: list[Probe] = [
        syscalls.Probe(),
        switches.Probe(),
        serving.Probe(),
        sockets.Probe(connections=True),
        locality.Probe(),
        busypoll.Probe(),
        stacks.Probe(stacks.StackOptions(frequency=light_frequency(frequency) if request.light else frequency)),
    ]
    observers: list[Observer] = [GroupObserver(whole), PollingObserver(whole), stack_observer, ProgramObserver()]
    return record(
        request,
        probes,
        "Recording everything",
        observers=observers,
        interval_seconds=_interval_seconds(request.seconds, request.light),
        watch=watch,
        # Kernels that keep perf events for CAP_SYS_ADMIN alone are common.
        dispensable=("stacks",),
    )


def light_frequency(wanted: int) -> int:
    """Samples a second in a light recording's windows, so that there are as many as wanted over the whole time.

    Odd, so as not to keep step with what happens each 1/100 s.
    """
    return min(_MOST_FREQUENT, round(wanted / LIGHT_SHARE) | 1)


def _interval_seconds(seconds: float | None, light: bool) -> float:
    """Enough intervals for the spread over time of a short recording; the Run merges those of a long one."""
    if seconds is None:
        return _LONGEST_BLOCK_S if light else _SHORTEST_BLOCK_S
    return min(_LONGEST_BLOCK_S, max(_SHORTEST_BLOCK_S, seconds / (_LIGHT_BLOCKS if light else _BLOCKS)))


def record_load(pid: int, load: Load, rounds: int, frequency: int) -> tuple[list[Round], Run]:
    """Record a process for exactly as long as these rounds take; the Run has the number of their requests.

    Raises `NetprobeError` if the recording or the load fails.
    """
    from msgspec.structs import replace

    from netprobe.load.generator import read_results, write_order
    from netprobe.run.description import RequestsInfo
    from netprobe.run.model import Run

    with tempfile.TemporaryDirectory(prefix="netprobe-load-") as folder:
        order = Path(folder, "order.json")
        command = shlex.join(write_order(order, load, rounds))
        run = record_everything(Request(pids=(pid,), while_command=command, while_text="the load"), frequency)
        results = read_results(order)
    requests = RequestsInfo(count=sum(one.requests for one in results), source="the load generator")
    return results, Run(replace(run.info, requests=requests), run.tables)
