"""`netprobe diff`: significant changes between two Runs, findings that appeared, and functions that explain them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.analysis.compare.comparison import Comparison
    from netprobe.run.model import Run

_ROWS = 12
# Regressions and findings that a gate lists; the most important come first.
_MAX_REASONS = 5


@dataclass(frozen=True)
class Gate:
    """The condition for exit status 1."""

    on: str
    percent: float = 0.0


class _GateType(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    name = "findings|regression[:PERCENT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Gate:
        """Parse `findings`, `regression`, `regression:5` or `regression:5%`."""
        on, colon, number = str(value).partition(":")
        if on not in ("findings", "regression") or (colon and on == "findings"):
            self.fail(f"{value!r} is none of findings, regression, regression:5", param, ctx)
        try:
            percent = float(number.removesuffix("%")) if colon else 0.0
        except ValueError:
            percent = math.nan
        if not (math.isfinite(percent) and percent >= 0):
            self.fail(f"{number!r} is not a percentage; specify a number >= 0, as in regression:5", param, ctx)
        return Gate(on, percent)


@click.command(short_help="Changes between two Runs that are larger than noise.")
@click.argument("before", type=click.Path(path_type=Path), metavar="A")
@click.argument("after", type=click.Path(path_type=Path), metavar="B")
@click.option(
    "--series", is_flag=True, help="A and B are series: directories of Runs of one server (netprobe record --repeat)."
)
@click.option(
    "--per",
    type=click.Choice(["auto", "request", "second"]),
    default="auto",
    show_default=True,
    help="Normalization of counts; auto: per request if both Runs have the number of requests.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--fail-on",
    type=_GateType(),
    help="Exit status 1 if a finding appeared, or if a metric is worse (by at least PERCENT); a new function is worse"
    " if it takes at least PERCENT of the total time on CPU in A.",
)
@click.option(
    "-T", "--top", default=_ROWS, show_default=True, type=click.IntRange(min=0), help="Rows of each table; 0 = all."
)
def command(before: Path, after: Path, series: bool, per: str, as_json: bool, fail_on: Gate | None, top: int) -> None:
    """Compare two Runs of `netprobe record`: A before a change, B after it.

    The output has comparability warnings (other differences between the recordings), significant changes with at
    most 5 % false discoveries, the functions that explain them, findings that appeared or went away, and the smallest
    detectable change of metrics within noise. The comparison of two single Runs assumes a typical run-to-run
    variation. With --series the variation is measured, and smaller changes are detected.

    \b
    netprobe diff before after
    netprobe diff before after --fail-on findings
    netprobe record -p PID -d 5 --repeat 5 -o before; …; netprobe diff --series before after --fail-on regression:5
    """
    from netprobe import compare

    read = _series if series else _run
    compared = compare(read(before), read(after), per=per)
    if as_json:
        _print_json(compared)
    else:
        _print_text(compared, top)
    if fail_on:
        _apply_gate(compared, fail_on)


def _run(path: Path) -> Run:
    import netprobe

    if path.is_dir() and not (path / "run.json").exists() and any(path.glob("*/run.json")):
        raise NetprobeError(f"{path} is a series of Runs.", hint=f"Add --series, or specify one of its Runs: {path}/1.")
    if path.is_file():
        raise NetprobeError(
            f"{path} is a file; a Run is a directory.",
            hint="Specify a directory that netprobe record wrote. To compare profiles: netprobe flame --diff.",
        )
    return netprobe.load(path)


def _series(path: Path) -> list[Run]:
    import netprobe

    if (path / "run.json").exists():
        raise NetprobeError(f"{path} is one Run, not a series.", hint="Remove --series.")
    found = sorted(path.glob("*/run.json"), key=lambda file: (len(file.parent.name), file.parent.name))
    if not found:
        raise NetprobeError(f"There is no Run in {path}.", hint="Record a series: netprobe record --repeat 5 -o DIR")
    return [netprobe.load(file.parent) for file in found]


def _print_json(compared: Comparison) -> None:
    from netprobe.commands.shared.recording import print_json
    from netprobe.render.diff import as_json
    from netprobe.render.json import bare_envelope

    print_json(bare_envelope("diff", as_json(compared)))


def _print_text(compared: Comparison, top: int) -> None:
    from netprobe.render import diff
    from netprobe.render.text import say, show

    for line in diff.heading(compared):
        say(line)
    metrics = [row for row in compared.changed if row.group != "functions"]
    if metrics:
        click.echo("\nSignificant changes")
        show(diff.changes_as_text(metrics, top))
    if single := diff.single_values(compared):
        click.echo("\nInconclusive: too few values to know their variation")
        show(diff.single_values_as_text(single, top))
    if functions := diff.single_functions(compared):
        click.echo("\nInconclusive as well: self time of functions, the largest differences first")
        show(diff.single_values_as_text(functions, top))
    if compared.explained:
        click.echo(f"\n{diff.explained_title(compared)}")
        show(diff.explained_as_text(compared.explained, top))
    findings = [*diff.findings_as_lines(compared), *diff.renamed_as_lines(compared)]
    for lines in (findings, diff.within_noise(compared), compared.skipped):
        if lines:
            click.echo("")
        for line in lines:
            say(line)


def _apply_gate(compared: Comparison, gate: Gate) -> None:
    """Print what the gate found and what it could not evaluate. Raises `Exit` with status 1 if it fails."""
    from netprobe.commands.shared.recording import tell
    from netprobe.render.diff import regression
    from netprobe.render.gate import findings_not_evaluated, regressions_not_evaluated

    if gate.on == "findings":
        reasons = [finding.code for finding in compared.findings if finding.status == "appeared"]
        not_evaluated = findings_not_evaluated(compared)
    else:
        reasons = [regression(row) for row in compared.regressions(gate.percent)]
        not_evaluated = regressions_not_evaluated(compared, gate.percent)
    for sentence in not_evaluated:
        tell(f"--fail-on {gate.on}: {sentence}")
    if reasons:
        more = len(reasons) - _MAX_REASONS
        rest = f"; and {more} more" if more > 0 else ""
        tell(f"--fail-on {gate.on}: {'; '.join(reasons[:_MAX_REASONS])}{rest}.")
        raise click.exceptions.Exit(1)
