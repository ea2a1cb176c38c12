"""The whole of `netprobe lab scenario`: each step measured, recorded, compared with the step before, and reported."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.shared.everything import record_load
from netprobe.commands.shared.recording import tell
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.lab.scenario import Step, Testbed
    from netprobe.load.rounds import Round
    from netprobe.render.scenario import MeasuredStep
    from netprobe.run.model import Run

LATENCIES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.99": 99.99}
REPORT = "report.html"
_NICE = -10
# Stack samples per second and CPU: many, because the recording is short; and not in phase with the faults' timers.
_FREQUENCY = 997


@dataclass(frozen=True)
class Plan:
    """Length of the measurement of each step."""

    rounds: int = 10
    """Of one second each, without recording."""
    recorded_seconds: int = 8


@dataclass(frozen=True)
class MeasuredServer:
    """The server of one step, measured and recorded."""

    step: Step
    number: int
    rounds: Sequence[Round]
    run: Run


def run_scenario(plan: Plan, folder: Path, variants: bool) -> list[MeasuredStep]:
    """Measure all steps into `folder`, which must not exist or be empty, and write the report there.

    `variants`: measure the variants of steps as well.
    """
    from netprobe.lab.scenario import reactors, testbed
    from netprobe.lab.scenario import steps as all_steps

    began = time.monotonic()
    count = reactors()
    chosen = [step for step in all_steps(count) if variants or not step.is_variant]
    _check(folder)
    measured = []
    with _raised_priority(), testbed(count) as bed:
        folder.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(chosen, 1):
            tell(f"Step {number} of {len(chosen)}: {step.change}")
            measured.append(_measure(bed, step, number, plan, run_folder(folder, number, step)))
    steps = compare(measured)
    tell(f"Measured in {time.monotonic() - began:.0f} s; writing the report.")
    write_report(steps, measured, folder, plan)
    return steps


@contextmanager
def _raised_priority() -> Iterator[None]:
    """Servers and load generators inherit the priority, so that other programs do not preempt a busy poller."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(before, _NICE))
    except PermissionError:
        tell("The scenario runs with normal priority: it is not allowed to raise it.")
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def run_folder(folder: Path, number: int, step: Step) -> Path:
    """The directory of a step's Run."""
    return folder / f"{number}-{step.name}"


def _check(folder: Path) -> None:
    """Raise `NetprobeError` unless the report can be written there; called before the measurement, which is long."""
    try:
        occupied = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise NetprobeError(f"{folder} cannot be used: {error.strerror}.", hint="Choose another directory.") from error
    if occupied:
        raise NetprobeError(f"{folder} is not empty.", hint="Choose another directory for -o.")


# ---- One step ----


def _measure(bed: Testbed, step: Step, number: int, plan: Plan, folder: Path) -> MeasuredServer:
    """Load the server of a step in short rounds, then record it under the same load; the Run includes the rounds."""
    from netprobe.load.generator import run_round, run_rounds
    from netprobe.load.rounds import suite, with_rounds, write_with_suite

    with bed.serve(step) as server:
        load = bed.load(server, 1)
        warm_up = run_round(load)
        rounds = run_rounds(load, plan.rounds)
        _, run = record_load(server.pid, bed.load(server, plan.recorded_seconds), 1, _FREQUENCY)
    run = with_rounds(run, rounds)
    metadata = {
        "step": f"{number} {step.name}: {step.change}",
        "load": f"wrk, {len(load.generators)} x {load.connections} connections",
    }
    write_with_suite(run, folder, suite(rounds, [warm_up], metadata))
    return MeasuredServer(step, number, rounds, run)


# ---- Comparison ----


def compare(measured: Sequence[MeasuredServer]) -> list[MeasuredStep]:
    """Evaluate each step and compare it with the step before, or a variant with the step that it varies."""
    return [_compared(one, _base(one, measured)) for one in measured]


def _base(one: MeasuredServer, measured: Sequence[MeasuredServer]) -> MeasuredServer | None:
    if one.step.is_variant:
        return next(other for other in measured if other.step.name == one.step.variant_of)
    return measured[one.number - 2] if one.number > 1 else None


def _compared(one: MeasuredServer, base: MeasuredServer | None) -> MeasuredStep:
    from netprobe.analysis.compare.comparison import compare_sides, sides_of
    from netprobe.analysis.confidence import gain_pct, mean
    from netprobe.render.scenario import MeasuredStep
    from netprobe.rules.context import context_of
    from netprobe.rules.registry import evaluate, rule_results

    rates = [a_round.per_second for a_round in one.rounds]
    context = context_of(one.run)
    return MeasuredStep(
        number=one.number,
        name=one.step.name,
        change=one.step.change,
        fault=one.step.fault,
        base=base.number if base else None,
        fixed=base.step.fault if base and not one.step.is_variant else "",
        throughput=mean(rates),
        gain_pct=gain_pct([a_round.per_second for a_round in base.rounds], rates) if base else None,
        latency_us={
            name: mean([a_round.percentile(percent) for a_round in one.rounds]) for name, percent in LATENCIES.items()
        },
        errors=sum(a_round.errors for a_round in one.rounds),
        context=context,
        results=tuple(evaluate(context)),
        comparison=compare_sides(*sides_of(base.run, one.run), "auto", rule_results) if base else None,
    )


# ---- The report ----


def write_report(steps: Sequence[MeasuredStep], measured: Sequence[MeasuredServer], folder: Path, plan: Plan) -> None:
    """Write the flame graphs beside each Run, and the page that includes everything."""
    from flamegraph.writers import written_atomically
    from netprobe.render.scenario_page import page

    flame_graphs = {}
    profiles = {step.number: step.context.profile for step in steps}
    for step, one in zip(steps, measured, strict=True):
        name = run_folder(folder, one.number, one.step).name
        flame = _written(profiles[step.number], folder / f"{name}.html", f"Step {step.number}: {step.change}")
        difference = ""
        if step.base is not None:
            difference = _difference(profiles, step, folder / f"{name}.diff.html")
        flame_graphs[step.number] = (flame, difference)
    with written_atomically(folder / REPORT) as file:
        file.write(page(steps, flame_graphs, notes(plan)).encode())


def notes(plan: Plan) -> list[str]:
    """The method of measurement, in sentences."""
    return [
        f"Throughput and latency: means of {plan.rounds} rounds of 1 s without recording, after a round of warm-up.",
        f"All other numbers: from {plan.recorded_seconds} s recorded under the same load, with the cost of recording.",
        "The load generators share the server's CPUs, one on each.",
    ]


def _written(profile: Profile, path: Path, title: str) -> str:
    from flamegraph.writers import WriteOptions, write

    write(profile, path, WriteOptions(title=title))
    return path.read_text()


def _difference(profiles: dict[int, Profile], step: MeasuredStep, path: Path) -> str:
    from flamegraph.diff import DiffOptions, diff
    from flamegraph.writers import WriteOptions, write_diff
    from netprobe.analysis.compare.flame_verdicts import verdict_rule

    assert step.base is not None
    assert step.comparison is not None
    before, after = profiles[step.base], profiles[step.number]
    options = DiffOptions(
        per="request",
        requests_a=step.comparison.a.requests,
        requests_b=step.comparison.b.requests,
        name_a=f"step {step.base}",
        name_b=f"step {step.number}",
    )
    found = diff(before, after, replace(options, rule=verdict_rule(before, after, options)))
    write_diff(found, path, WriteOptions(title=f"Step {step.number} against step {step.base}"))
    return path.read_text()
