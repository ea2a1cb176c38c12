"""The whole scenario: every step measured, compared with the one below, and reported."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.scenario.measuring import Measured, Plan, measure
from netprobe.commands.shared.recording import tell
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.lab.scenario import Step
    from netprobe.render.scenario import MeasuredStep

LATENCIES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.99": 99.99}
REPORT = "report.html"
_NICE = -10


def climb(plan: Plan, folder: Path, beside: bool) -> list[MeasuredStep]:
    """Measure all steps into `folder`, which must not exist or be empty, and write the report there."""
    from netprobe.lab.scenario import bed, reactors
    from netprobe.lab.scenario import steps as all_steps

    began = time.monotonic()
    count = reactors()
    chosen = [step for step in all_steps(count) if beside or not step.beside]
    _check(folder)
    measured = []
    with _before_others(), bed(count) as up:
        folder.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(chosen, 1):
            tell(f"Step {number} of {len(chosen)}: {step.words}")
            measured.append(measure(up, step, number, plan, run_folder(folder, number, step)))
    steps = compare(measured)
    tell(f"Measured in {time.monotonic() - began:.0f} s; writing the report.")
    write_report(steps, measured, folder, plan)
    return steps


@contextmanager
def _before_others() -> Iterator[None]:
    """Servers and load generators inherit it: what else runs on the machine must not take the place of a poller."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(before, _NICE))
    except PermissionError:
        tell("The scenario runs with the priority of everybody else: it may not raise its own.")
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def run_folder(folder: Path, number: int, step: Step) -> Path:
    """Where a step's Run is."""
    return folder / f"{number}-{step.name}"


def _check(folder: Path) -> None:
    """Raise `NetprobeError` unless the report can go there; to be asked before an hour is spent."""
    try:
        taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise NetprobeError(f"{folder} cannot be used: {error.strerror}.", hint="Choose another place.") from error
    if taken:
        raise NetprobeError(f"{folder} is not empty.", hint="Choose another directory for -o.")


def compare(measured: Sequence[Measured]) -> list[MeasuredStep]:
    """Every step evaluated, and compared with the one below; what stands beside the scenario with what it varies."""
    steps: list[MeasuredStep] = []
    for one in measured:
        steps.append(_step(one, _below(one, measured)))
    return steps


def _below(one: Measured, measured: Sequence[Measured]) -> Measured | None:
    if one.step.beside:
        return next(other for other in measured if other.step.name == one.step.varies)
    return measured[one.number - 2] if one.number > 1 else None


def _step(one: Measured, below: Measured | None) -> MeasuredStep:
    from netprobe.analysis.compare.comparison import compare_sides, sides_of
    from netprobe.analysis.confidence import gain_pct, mean
    from netprobe.render.scenario import MeasuredStep
    from netprobe.rules.context import RunContext
    from netprobe.rules.evaluated import evaluated
    from netprobe.rules.registry import evaluate

    rates = [here.per_second for here in one.rounds]
    return MeasuredStep(
        number=one.number,
        name=one.step.name,
        words=one.step.words,
        fault=one.step.fault,
        below=below.number if below else None,
        fixed=below.step.fault if below and not one.step.beside else "",
        throughput=mean(rates),
        gain_pct=gain_pct([here.per_second for here in below.rounds], rates) if below else None,
        latency_us={
            name: mean([here.percentile(percent) for here in one.rounds]) for name, percent in LATENCIES.items()
        },
        errors=sum(here.errors for here in one.rounds),
        context=RunContext(one.run),
        results=tuple(evaluate(one.run)),
        comparison=compare_sides(*sides_of(below.run, one.run), "auto", evaluated) if below else None,
    )


def write_report(steps: Sequence[MeasuredStep], measured: Sequence[Measured], folder: Path, plan: Plan) -> None:
    """Flame graphs beside each Run, and the page that holds everything."""
    from flamegraph.writers import written_atomically
    from netprobe.render.scenario_page import page

    pictures = {}
    profiles = {step.number: step.context.profile for step in steps}
    for step, one in zip(steps, measured, strict=True):
        name = run_folder(folder, one.number, one.step).name
        flame = _written(profiles[step.number], folder / f"{name}.html", f"Step {step.number}: {step.words}")
        difference = ""
        if step.below is not None:
            difference = _difference(profiles, step, folder / f"{name}.diff.html")
        pictures[step.number] = (flame, difference)
    with written_atomically(folder / REPORT) as file:
        file.write(page(steps, pictures, notes(plan)).encode())


def notes(plan: Plan) -> list[str]:
    """How it was measured, in sentences."""
    return [
        f"Throughput and latency: means of {plan.rounds} rounds of 1 s without recording, after a round of warm-up.",
        f"The rest: {plan.recorded_seconds} s recorded under the same load, with what recording costs.",
        "The load generators share the server's CPUs, one on each.",
    ]


def _written(profile: Profile, path: Path, title: str) -> str:
    profile.write(path, title=title)
    return path.read_text()


def _difference(profiles: dict[int, Profile], step: MeasuredStep, path: Path) -> str:
    from flamegraph.diff import DiffOptions, diff
    from flamegraph.writers import write_diff
    from netprobe.analysis.compare.flame_verdicts import judge_for

    assert step.below is not None
    assert step.comparison is not None
    below, here = profiles[step.below], profiles[step.number]
    options = DiffOptions(
        per="request",
        requests_a=step.comparison.a.requests,
        requests_b=step.comparison.b.requests,
        name_a=f"step {step.below}",
        name_b=f"step {step.number}",
    )
    found = diff(below, here, replace(options, judge=judge_for(below, here, options)))
    write_diff(found, path, title=f"Step {step.number} against step {step.below}")
    return path.read_text()
