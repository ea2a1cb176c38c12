"""Recording with all probes at once, as `netprobe record` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from netprobe.commands.shared.recording import record
from netprobe.engine.options import RecordOptions

if TYPE_CHECKING:
    from netprobe.load.generator import Load
    from netprobe.load.rounds import Round
    from netprobe.probes.base import Counted, Probe
    from netprobe.run.model import Run

# Share of the time that `netprobe record --light` counts.
LIGHT_SHARE = 0.15
_INTERVALS, _MIN_INTERVAL_S, _MAX_INTERVAL_S = 40, 0.25, 1.0
# Fewer, as the kernel stops all CPUs for a moment when programs are attached and detached.
_LIGHT_INTERVALS = 10
_MAX_FREQUENCY = 10_000


def record_everything(
    options: RecordOptions, frequency: int, on_interval: Callable[[Counted], None] | None = None
) -> Run:
    """Record with all probes, and `frequency` stack samples per second and CPU; `on_interval` gets each interval."""
    from netprobe.engine.recorder import all_observers

    options = replace(options, interval_seconds=_interval_seconds(options))
    return record(
        options,
        probes_of_record(frequency, options.duty_cycled),
        "Recording everything",
        observers=all_observers(options),
        on_interval=on_interval,
    )


def probes_of_record(frequency: int, duty_cycled: bool) -> list[Probe]:
    """All probes; of these, only the stack sampler has an option of `netprobe record`."""
    from netprobe.probes import all_probes
    from netprobe.probes.stacks import Probe as Stacks
    from netprobe.probes.stacks import StackOptions

    stacks = Stacks(StackOptions(frequency=_light_frequency(frequency) if duty_cycled else frequency))
    return [stacks if probe is Stacks else probe() for probe in all_probes().values()]


def _light_frequency(frequency: int) -> int:
    """Samples per second in the sampling windows, for as many samples in all as `frequency` gives without windows.

    An odd number, so that sampling does not coincide with events every 1/100 s.
    """
    return min(_MAX_FREQUENCY, round(frequency / LIGHT_SHARE) | 1)


def _interval_seconds(options: RecordOptions) -> float:
    """The length that gives a short recording enough intervals for its spread over time."""
    if options.seconds is None:
        return _MAX_INTERVAL_S if options.duty_cycled else _MIN_INTERVAL_S
    count = _LIGHT_INTERVALS if options.duty_cycled else _INTERVALS
    return min(_MAX_INTERVAL_S, max(_MIN_INTERVAL_S, options.seconds / count))


def record_load(pid: int, load: Load, rounds: int, frequency: int) -> tuple[list[Round], Run]:
    """Record a process for exactly as long as these rounds take; the Run has the number of their requests.

    Raises `NetprobeError` if the recording or the load fails.
    """
    import shlex
    import tempfile
    from pathlib import Path

    from msgspec.structs import replace as replace_fields

    from netprobe.load.generator import read_results, write_order
    from netprobe.run.description import RequestsInfo
    from netprobe.run.model import Run

    with tempfile.TemporaryDirectory(prefix="netprobe-load-") as folder:
        order = Path(folder, "order.json")
        command = shlex.join(write_order(order, load, rounds))
        options = RecordOptions(pids=(pid,), while_command=command, while_description="the load")
        run = record_everything(options, frequency)
        results = read_results(order)
    requests = RequestsInfo(count=sum(result.requests for result in results), source="the load generator")
    return results, Run(replace_fields(run.info, requests=requests), run.tables)
