"""Profiles for commands: read from a file or a Run, or recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.commands.shared.recording import Request, record
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.run.model import Run

# Counters are read so often, so that a flame graph can show a part of the time.
_BLOCK_S = 0.25


def read_input(name: str, reading: dict[str, Any]) -> tuple[Profile, Run | None]:
    """A profile of a file, of standard input ("-"), or of a Run's directory, and then the Run."""
    if Path(name).is_dir():
        import netprobe
        from netprobe.run.profile import read_profile

        run = netprobe.load(name)
        return read_profile(run.tables), run
    import flamegraph

    return flamegraph.read(name, flamegraph.ReadOptions(**reading)), None


def record_profile(request: Request, sampling: dict[str, Any]) -> tuple[Profile, Run, str]:
    """Record stacks: the profile, the Run that it is part of, and what was recorded in a word."""
    from netprobe.engine.observe_stacks import OFF_CPU, StackObserver
    from netprobe.probes.stacks import Probe, StackOptions
    from netprobe.run.profile import read_profile

    off_cpu = sampling["off_cpu"]
    options = StackOptions(
        frequency=sampling["frequency"],
        off_cpu=off_cpu,
        shortest_ns=round(sampling["shortest"] * 1000),
        kernel=not sampling["user_only"],
        user=not sampling["kernel_only"],
    )
    target = request.options()
    observer = StackObserver(target.whole_machine or bool(target.comm), OFF_CPU if off_cpu else "")
    what = "Taking stacks of every wait" if off_cpu else f"Sampling stacks at {options.frequency} Hz"
    run = record(request, [Probe(options)], what, observers=[observer], interval_seconds=_BLOCK_S)
    profile = read_profile(run.tables)
    if not len(profile.samples):
        raise _no_samples(run, off_cpu)
    return profile, run, _label(request)


def _no_samples(run: Run, off_cpu: bool) -> NetprobeError:
    none = f"There is no sample of {run.info.target.description} in {run.seconds:.1f} s"
    if off_cpu:
        return NetprobeError(f"{none}: it left no CPU.", hint="Look at where it runs: leave out --off-cpu.")
    return NetprobeError(
        f"{none}: it did not run, or so little that no sample met it.",
        hint="Put it under load, record for longer (-d), sample more often (-F 997), or see where it waits: --off-cpu.",
    )


def _label(request: Request) -> str:
    if request.command:
        return Path(request.command[0]).name
    return "-".join([*map(str, request.pids), *([request.comm] if request.comm else [])]) or "machine"
