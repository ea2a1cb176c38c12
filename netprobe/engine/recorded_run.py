"""Conversion of a recording to a Run."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from netprobe.engine.machine import describe_host
from netprobe.engine.options import RecordOptions
from netprobe.engine.recorder import Observer, Recording
from netprobe.probes.base import Probe
from netprobe.probes.threads import threads_table
from netprobe.run.description import CostInfo, ProgramCost, RecordingInfo, RunInfo, TargetInfo
from netprobe.run.model import Run
from netprobe.run.table import Table, table_of_rows
from netprobe.version import __version__


def as_run(
    recording: Recording, options: RecordOptions, probes: Sequence[Probe], observers: Sequence[Observer] = ()
) -> Run:
    """A Run with the tables of all probes and observers that were attached, and the description of the recording."""
    counted = recording.counted
    probes = [probe for probe in probes if probe.name not in recording.skipped]
    observers = [observer for observer in observers if observer.probe not in recording.skipped]
    tables = [_intervals(recording), threads_table(counted.threads, recording.started_ns)]
    for probe in probes:
        tables += probe.tables(counted)
    for observer in observers:
        tables += observer.tables(counted, recording.started_ns)
    info = RunInfo(
        netprobe_version=__version__,
        host=describe_host(),
        target=TargetInfo(
            description=options.describe(),
            pids=list(options.pids),
            comm=options.comm,
            command=list(options.command),
            threads=len(counted.threads) - 1,
            exit_status=recording.server_exit,
        ),
        recording=RecordingInfo(
            started=_iso(recording.started_at),
            seconds=recording.seconds,
            elapsed_seconds=recording.elapsed_seconds if options.duty_cycled else None,
            intervals=len(counted.intervals),
            stopped_by=recording.stopped_by,
        ),
        probes=[probe.name for probe in probes],
        attached=list(recording.attached),
        attach_mechanisms=dict(recording.mechanisms),
        unavailable=list(recording.unavailable),
        dropped=list(recording.dropped),
        cost=_cost(recording),
    )
    return Run(info, {table.name: table for table in tables})


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def _intervals(recording: Recording) -> Table:
    intervals = recording.counted.intervals
    return table_of_rows(
        "intervals",
        (
            (
                number,
                interval.start_s,
                interval.duration_s,
                interval.machine.switches,
                interval.machine.forks,
                interval.machine.idle_ns,
                interval.machine.steal_ns,
            )
            for number, interval in enumerate(intervals)
        ),
    )


def _cost(recording: Recording) -> CostInfo:
    """The kernel's BPF run-time statistics, scaled from the share of the time in which they were enabled."""
    scale = recording.seconds / recording.accounted_seconds if recording.accounted_seconds else None
    estimated = [cost.run_ns * (1 if cost.duty_cycled else scale) if scale else None for cost in recording.costs]
    programs = [
        ProgramCost(
            program=cost.program,
            attached_to=cost.attached_to,
            run_time_ns=cost.run_ns,
            run_cnt=cost.runs,
            mean_ns=cost.run_ns / cost.runs if cost.runs else None,
            estimated_total_ns=total_ns,
        )
        for cost, total_ns in zip(recording.costs, estimated, strict=True)
    ]
    total = sum(filter(None, estimated)) if scale else None
    return CostInfo(
        programs=programs,
        accounted_seconds=recording.accounted_seconds,
        estimated_cpu_pct_of_one=total / recording.elapsed_seconds / 1e7 if total is not None else None,
        attach_seconds=recording.attach_seconds,
        peak_resident_kib=recording.peak_resident_kib,
    )
