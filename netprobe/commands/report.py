"""`netprobe report`: one HTML file for a Run, or for two."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import click

from netprobe.errors import NetprobeError


@click.command(short_help="One HTML file that shows a Run, or the changes between two Runs.")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("other", type=click.Path(path_type=Path), metavar="[RUN_B]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write, - for standard output. [default: report-RUN-DATE.html]",
)
@click.option("--title", default="", help="Heading of the page.")
@click.option(
    "--per",
    type=click.Choice(["auto", "request", "second"]),
    default="auto",
    show_default=True,
    help="Normalization of counts with two Runs; auto: per request if both Runs have the number of requests.",
)
def command(run: Path, other: Path | None, output: Path | None, title: str, per: str) -> None:
    """Write a page that shows a Run: verdict, findings with their evidence, charts, flame graph.

    With two Runs the page shows the changes from RUN to RUN_B. The page is one file and needs no network.

    \b
    netprobe report before -o before.html
    netprobe report before after -o changed.html
    """
    from flamegraph.writers import written_atomically
    from netprobe.commands.shared.recording import tell

    output = output or _default_name(run, other)
    to_stdout = str(output) == "-"
    if not to_stdout:
        _check_output(output)
    if per != "auto" and not other:
        tell("--per applies to two Runs: it has no effect on the page of one Run.")
    page = _comparison_page(run, other, title, per) if other else _run_page(run, title)
    if to_stdout:
        sys.stdout.buffer.write(page)
        return
    with written_atomically(output) as file:
        file.write(page)
    tell(f"Written to {output}.")


def _check_output(output: Path) -> None:
    """Fail before the page is made, which takes seconds."""
    if output.is_dir():
        raise NetprobeError(f"{output} is a directory.", hint=f"Name a file: -o {output / 'report.html'}")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise NetprobeError(f"The directory {parent} does not exist.", hint=f"Create it: mkdir -p {parent}")


def _run_page(path: Path, title: str) -> bytes:
    import netprobe
    from netprobe.render.report.run_page import render

    return render(netprobe.load(_run_directory(path)), title)


def _comparison_page(path: Path, other: Path, title: str, per: str) -> bytes:
    import netprobe
    from netprobe.render.report.comparison_page import render

    runs = (netprobe.load(_run_directory(path)), netprobe.load(_run_directory(other)))
    return render(netprobe.compare(*runs, per=per), distinct_names(path, other), title)


def _run_directory(path: Path) -> Path:
    if path.is_file():
        raise NetprobeError(f"{path} is a file, not a Run.", hint="A Run is a directory that netprobe record wrote.")
    if path.is_dir() and not (path / "run.json").exists() and any(path.glob("*/run.json")):
        raise NetprobeError(f"{path} is a series of Runs.", hint=f"Name one of its Runs: {_first_run(path)}.")
    return path


def _first_run(series: Path) -> Path:
    runs = (file.parent for file in series.glob("*/run.json"))
    return min(runs, key=lambda run: (len(run.name), run.name))


def distinct_names(path: Path, other: Path) -> tuple[str, str]:
    """The shortest ends of both paths that differ: `a/1` and `b/1`."""
    left, right = (Path(os.path.abspath(each)).parts for each in (path, other))
    for count in range(1, max(len(left), len(right))):
        if left[-count:] != right[-count:]:
            return "/".join(left[-count:]), "/".join(right[-count:])
    return path.name or "A", other.name or "B"


def _default_name(run: Path, other: Path | None) -> Path:
    names = "-".join(re.sub(r"[^\w.-]+", "-", path.name).strip("-.") or "run" for path in (run, other) if path)
    return Path(f"report-{names}-{time.strftime('%Y%m%d-%H%M%S')}.html")
