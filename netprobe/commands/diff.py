"""`netprobe diff`: what changed between two Runs, what is noise, and what that means."""

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
# Reasons of a gate; those that weigh most come first.
_NAMED = 5


@dataclass(frozen=True)
class Gate:
    """What ends with exit status 1."""

    on: str
    percent: float = 0.0


class _GateType(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    name = "findings|regression[:PERCENT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Gate:
        """`findings`, `regression`, `regression:5` or `regression:5%`."""
        on, colon, number = str(value).partition(":")
        if on not in ("findings", "regression") or (colon and on == "findings"):
            self.fail(f"{value!r} is none of findings, regression, regression:5", param, ctx)
        try:
            percent = float(number.removesuffix("%")) if colon else 0.0
        except ValueError:
            percent = math.nan
        if not (math.isfinite(percent) and percent >= 0):
            self.fail(f"{number!r} is no percentage: give a number from 0 on, as in regression:5", param, ctx)
        return Gate(on, percent)


@click.command(short_help="What changed between two Runs, what is noise, and what that means.")
@click.argument("before", type=click.Path(path_type=Path), metavar="A")
@click.argument("after", type=click.Path(path_type=Path), metavar="B")
@click.option("--series", is_flag=True, help="A and B each hold Runs of the same thing (netprobe record --repeat).")
@click.option(
    "--per",
    type=click.Choice(["auto", "request", "second"]),
    default="auto",
    show_default=True,
    help="What counts are divided by; auto: requests where both know them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--fail-on",
    type=_GateType(),
    help="Exit status 1 if a finding appeared, or if something costs (PERCENT) more; a new function does if it takes"
    " so many percent of all time on CPU in A.",
)
@click.option(
    "-T", "--top", default=_ROWS, show_default=True, type=click.IntRange(min=0), help="Rows of each table; 0 = all."
)
def command(before: Path, after: Path, series: bool, per: str, as_json: bool, fail_on: Gate | None, top: int) -> None:
    """Compare two Runs of `netprobe record`, before and after.

    First what else differs between them; then what changed, with 5 % false discoveries at most; then what that
    means: findings that came or went, and the functions that explain the change. What did not change stands with
    the change that would have been seen. One recording cannot show how much the next one of the same thing would
    differ: what is known of that is allowed for. With --series it is measured, and smaller changes are seen.

    \b
    netprobe diff before after
    netprobe diff before after --fail-on findings
    netprobe record -p PID -d 5 --repeat 5 -o before; …; netprobe diff --series before after --fail-on regression:5
    """
    from netprobe import compare

    if series:
        compared = compare(_series(before), _series(after), per=per)
    else:
        compared = compare(_one(before), _one(after), per=per)
    if as_json:
        _print_json(compared)
    else:
        _print_text(compared, top)
    if fail_on:
        _fail(compared, fail_on)


def _one(path: Path) -> Run:
    import netprobe

    if path.is_dir() and not (path / "run.json").exists() and any(path.glob("*/run.json")):
        raise NetprobeError(f"{path} is a series of Runs.", hint=f"Add --series, or name one of them: {path}/1.")
    if path.is_file():
        raise NetprobeError(
            f"{path} is a file, and no Run.",
            hint="A Run is the directory that netprobe record wrote. Profiles in files: netprobe flame --diff.",
        )
    return netprobe.load(path)


def _series(path: Path) -> list[Run]:
    import netprobe

    if (path / "run.json").exists():
        raise NetprobeError(f"{path} is one Run, not a series.", hint="Leave out --series.")
    found = sorted(path.glob("*/run.json"), key=lambda one: (len(one.parent.name), one.parent.name))
    if not found:
        raise NetprobeError(f"There is no Run in {path}.", hint="Record a series: netprobe record --repeat 5 -o DIR")
    return [netprobe.load(one.parent) for one in found]


def _print_json(compared: Comparison) -> None:
    from netprobe.commands.shared.recording import print_json
    from netprobe.render.diff import as_json
    from netprobe.render.json import bare_envelope

    print_json(bare_envelope("diff", as_json(compared)))


def _print_text(compared: Comparison, top: int) -> None:
    from netprobe.render.diff import (
        changes_as_text,
        explained_as_text,
        explained_title,
        heading,
        meaning,
        single_as_text,
        single_functions,
        single_values,
        unseen,
    )
    from netprobe.render.text import say, show

    for line in heading(compared):
        say(line)
    counted = [row for row in compared.changed if row.group != "functions"]
    if counted:
        click.echo("\nWhat changed")
        show(changes_as_text(counted, top))
    if single := single_values(compared):
        click.echo("\nOne value on each side: how much it varies is not known, so none is said to have changed")
        show(single_as_text(single, top))
    if functions := single_functions(compared):
        click.echo("\nFunctions without what they call, by how much they differ; one value on each side as well")
        show(single_as_text(functions, top))
    if compared.explained:
        click.echo(f"\n{explained_title(compared)}")
        show(explained_as_text(compared.explained, top))
    for part in (meaning(compared), unseen(compared), compared.skipped):
        if part:
            click.echo("")
        for line in part:
            say(line)


def _fail(compared: Comparison, gate: Gate) -> None:
    from netprobe.commands.shared.recording import tell
    from netprobe.render.diff import reason
    from netprobe.render.gate import findings_not_judged, regressions_not_judged

    if gate.on == "findings":
        reasons = [one.code for one in compared.findings if one.became == "appeared"]
        doubts = findings_not_judged(compared)
    else:
        reasons = [reason(row) for row in compared.regressions(gate.percent)]
        doubts = regressions_not_judged(compared, gate.percent)
    for sentence in doubts:
        tell(f"--fail-on {gate.on}: {sentence}")
    if reasons:
        rest = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        tell(f"--fail-on {gate.on}: {'; '.join(reasons[:_NAMED])}{rest}.")
        raise click.exceptions.Exit(1)
