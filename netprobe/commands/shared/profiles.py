"""Options of `netprobe flame`, and its profiles: read from a file or a Run, or recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.shared.recording import record
from netprobe.engine.options import RecordOptions
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions
    from flamegraph.writers import WriteOptions
    from netprobe.run.model import Run

# Interval of the snapshots, and so the resolution of the time axis of the page.
_INTERVAL_SECONDS = 0.25


@dataclass(frozen=True)
class SamplingOptions:
    """How stacks are sampled."""

    frequency: int
    off_cpu: bool
    shortest: float
    """Shortest wait in microseconds, with `off_cpu`."""
    user_only: bool
    kernel_only: bool


@dataclass(frozen=True)
class ComparingOptions:
    """Normalization of a comparison, and the requests of both sides."""

    per: str
    requests_a: float | None
    requests_b: float | None


@dataclass(frozen=True)
class FlameOptions:
    """Options of the command except for the target."""

    inputs: tuple[str, ...]
    outputs: tuple[Path, ...]
    top: int | None
    as_json: bool
    diff: bool
    sampling: SamplingOptions
    reading: ReadOptions
    drawing: WriteOptions
    comparing: ComparingOptions
    thread: str | None
    times: tuple[tuple[float, float], ...]
    fold_threads: bool


def read_input(name: str, options: ReadOptions) -> tuple[Profile, Run | None]:
    """The profile of a file, of standard input ("-"), or of a directory with a Run, and then the Run."""
    if Path(name).is_dir():
        import netprobe
        from netprobe.run.profile import read_profile

        run = netprobe.load(name)
        return read_profile(run.tables), run
    import flamegraph

    return flamegraph.read(name, options), None


def record_profile(recording: RecordOptions, sampling: SamplingOptions) -> tuple[Profile, Run, str]:
    """Record stacks: the profile, the Run that contains it, and a label of the target for file names."""
    from netprobe.engine.observe_stacks import OFF_CPU, StackObserver
    from netprobe.probes.stacks import Probe, StackOptions
    from netprobe.run.profile import read_profile

    options = StackOptions(
        frequency=sampling.frequency,
        off_cpu=sampling.off_cpu,
        shortest_ns=round(sampling.shortest * 1000),
        kernel=not sampling.user_only,
        user=not sampling.kernel_only,
    )
    observer = StackObserver(recording.whole_machine or bool(recording.comm), OFF_CPU if sampling.off_cpu else "")
    activity = "Recording the stack of each wait" if sampling.off_cpu else f"Sampling stacks at {options.frequency} Hz"
    run = record(replace(recording, interval_seconds=_INTERVAL_SECONDS), [Probe(options)], activity, [observer])
    profile = read_profile(run.tables)
    if not len(profile.samples):
        raise _no_samples(run, sampling.off_cpu)
    return profile, run, _label(recording)


def _no_samples(run: Run, off_cpu: bool) -> NetprobeError:
    message = f"No sample of {run.info.target.description} in {run.seconds:.1f} s"
    if off_cpu:
        return NetprobeError(f"{message}: it never left its CPU.", hint="Sample CPU time: remove --off-cpu.")
    return NetprobeError(
        f"{message}: it used too little CPU time.",
        hint="Record under load, for longer (-d), at a higher frequency (-F 997), or sample waits: --off-cpu.",
    )


def _label(recording: RecordOptions) -> str:
    if recording.command:
        return Path(recording.command[0]).name
    return "-".join([*map(str, recording.pids), *([recording.comm] if recording.comm else [])]) or "machine"
