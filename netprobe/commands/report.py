"""`netprobe report`: one HTML file for a Run, or for two."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import click

from netprobe.errors import NetprobeError


@click.command(short_help="One HTML file for a Run, or for what changed between two.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("other", type=click.Path(path_type=Path), metavar="[RUN_B]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file, - for standard output; by default a new one here.",
)
@click.option("--title", default="", help="Heading of the page.")
@click.option(
    "--per",
    type=click.Choice(["auto", "request", "second"]),
    default="auto",
    show_default=True,
    help="Of two Runs: what counts are divided by; auto: requests where both know them.",
)
def command(run: Path, other: Path | None, output: Path | None, title: str, per: str) -> None:
    """Write a page that shows a Run: verdict, findings with their evidence, charts, the flame graph.

    With a second Run it shows what changed from RUN to RUN_B. The page is one file that needs no network.

    \b
    netprobe report before -o before.html
    netprobe report before after -o changed.html
    """
    from flamegraph.writers.registry import written_atomically
    from netprobe.commands.shared.recording import tell

    output = output or _free_name(run, other)
    to_stdout = str(output) == "-"
    if not to_stdout:
        _check_output(output)
    if per != "auto" and not other:
        tell("--per is for two Runs: it changes nothing on the page of one.")
    page = _of_two(run, other, title, per) if other else _of_one(run, title)
    if to_stdout:
        sys.stdout.buffer.write(page)
        return
    with written_atomically(output) as file:
        file.write(page)
    tell(f"Written to {output}.")


def _check_output(output: Path) -> None:
    """Before the work is done that would be lost."""
    if output.is_dir():
        raise NetprobeError(f"{output} is a directory.", hint=f"Name a file: -o {output / 'report.html'}")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise NetprobeError(f"The directory {parent} does not exist.", hint=f"Create it: mkdir -p {parent}")


def _of_one(path: Path, title: str) -> bytes:
    import netprobe
    from netprobe.render.report.of_run import render

    return render(netprobe.load(_one(path)), title)


def _of_two(path: Path, other: Path, title: str, per: str) -> bytes:
    import netprobe
    from netprobe.render.report.of_comparison import render

    runs = (netprobe.load(_one(path)), netprobe.load(_one(other)))
    return render(netprobe.compare(*runs, per=per), names(path, other), title)


def _one(path: Path) -> Path:
    if path.is_file():
        raise NetprobeError(f"{path} is a file, and no Run.", hint="A Run is the directory that netprobe record wrote.")
    if path.is_dir() and not (path / "run.json").exists() and any(path.glob("*/run.json")):
        raise NetprobeError(f"{path} is a series of Runs.", hint=f"Name one of them: {_first_of(path)}.")
    return path


def _first_of(series: Path) -> Path:
    found = (one.parent for one in series.glob("*/run.json"))
    return min(found, key=lambda one: (len(one.name), one.name))


def names(path: Path, other: Path) -> tuple[str, str]:
    """The shortest ends of both paths that tell them apart: `a/1` and `b/1`."""
    left, right = (Path(os.path.abspath(one)).parts for one in (path, other))
    for count in range(1, max(len(left), len(right))):
        if left[-count:] != right[-count:]:
            return "/".join(left[-count:]), "/".join(right[-count:])
    return path.name or "A", other.name or "B"


def _free_name(run: Path, other: Path | None) -> Path:
    names = "-".join(re.sub(r"[^\w.-]+", "-", path.name).strip("-.") or "run" for path in (run, other) if path)
    return Path(f"report-{names}-{time.strftime('%Y%m%d-%H%M%S')}.html")
