"""One step: its server started, loaded in short rounds, then recorded under the same load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.shared.loaded import record_load, with_rounds, write_with_suite

if TYPE_CHECKING:
    from netprobe.lab.load import Round
    from netprobe.lab.scenario import Bed, Step
    from netprobe.run.model import Run

# Stack samples a second and CPU: a short recording needs many, and not in step with the timers of the faults.
_FREQUENCY = 997


@dataclass(frozen=True)
class Plan:
    """How thoroughly each step is measured."""

    rounds: int = 10
    """Of one second each, without recording."""
    recorded_seconds: int = 8


@dataclass(frozen=True)
class Measured:
    """What one step gave."""

    step: Step
    number: int
    rounds: Sequence[Round]
    run: Run


def measure(bed: Bed, step: Step, number: int, plan: Plan, folder: Path) -> Measured:
    """Load and record a step; its Run is written to `folder`, with the rounds in it."""
    from netprobe.lab.load import run_round, run_rounds
    from netprobe.run.bench_suite import suite

    with bed.serve(step) as server:
        load = bed.load(server, 1)
        warm_up = run_round(load)
        rounds = run_rounds(load, plan.rounds)
        _, run = record_load(server.pid, bed.load(server, plan.recorded_seconds), 1, _FREQUENCY)
    run = with_rounds(run, rounds)
    metadata = {
        "step": f"{number} {step.name}: {step.words}",
        "load": f"wrk, {len(load.generators)} x {load.connections} connections",
    }
    write_with_suite(run, folder, suite(rounds, [warm_up], metadata))
    return Measured(step, number, rounds, run)
