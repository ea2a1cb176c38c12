"""`netprobe import`: what other tools printed, as a Run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netprobe.commands.shared.requests import RequestCount
from netprobe.commands.shared.seconds import Seconds
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.importers.report import Report
    from netprobe.run.model import Run


@dataclass(frozen=True)
class ImportOptions:
    """What to make of the reports that are found."""

    output: Path | None
    numbers: tuple[int, ...]
    seconds: float | None
    requests: float | None
    architecture: str


@dataclass(frozen=True)
class Imported:
    """A Run, where it was written, and the reports that it was made of with their numbers."""

    run: Run
    path: Path | None
    reports: tuple[tuple[int, Report], ...]


@click.command(short_help="What other tools printed (syscount, strace -c, sar, pidstat, wrk …), as a Run.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Keep it in this directory.")
@click.option(
    "--report",
    "numbers",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="Only the N-th report of what is found; may be given again.",
)
@click.option(
    "-d",
    "--duration",
    "seconds",
    type=Seconds(),
    metavar="SECONDS",
    help="How long it took, for those that do not say (syscount, strace -c, perf trace -s, folded stacks).",
)
@click.option(
    "--requests",
    type=RequestCount(),
    metavar="N",
    help="Requests that were served meanwhile.",
)
@click.option(
    "--arch",
    "architecture",
    type=click.Choice(["x86_64", "aarch64"]),
    default="x86_64",
    show_default=True,
    help="Where system calls are numbers (bpftrace): of which architecture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Read what people already have, and say what the rules find in it.

    A FILE is told apart by its content, not its name: syscount of bcc and of bpftrace, strace -c, perf trace -s,
    sar -w, pidstat -w, wrk and its offspring, the listing "name, cpu=N, socket I" of a reuseport trace, folded
    stacks, perf script text, perf.data; plain or gzip; - is standard input. A text may hold several such reports
    between other lines.

    Reports that may be of one recording become one Run. Where they cannot be (two of a sort, or of another length),
    each becomes a Run of its own: RUN/1, RUN/2 … by its number. What a tool does not say is not known in the Run
    either, and rules that need it say CANNOT TELL.

    \b
    netprobe import syscount.txt -d 10 -o before
    netprobe import strace.txt wrk.txt perf.data -o before
    netprobe import article.txt --report 10 -o before
    """
    wanted = ImportOptions(**options)
    imported = _imported(files, wanted)
    failure = _write(imported)
    if as_json:
        _print_json(imported)
    else:
        _print_text(imported)
    if failure:
        raise failure


def _imported(files: tuple[str, ...], options: ImportOptions) -> list[Imported]:
    from netprobe.commands.shared.recording import tell
    from netprobe.importers.choosing import chosen, why_apart
    from netprobe.importers.reading import read_reports
    from netprobe.importers.to_run import as_run

    if files.count("-") > 1:
        raise NetprobeError("Standard input can be read once.", hint="Name - once.")
    found = [report for name in files for report in read_reports(name, options.architecture)]
    reports = chosen(found, options.numbers)
    apart = why_apart([report for _, report in reports], options.seconds)
    if not apart:
        run = as_run([report for _, report in reports], options.seconds, options.requests)
        return [Imported(run, options.output, tuple(reports))]
    if options.requests:
        raise NetprobeError(
            f"--requests is for one recording, and these are several: {apart}.", hint="Choose with --report."
        )
    tell(f"Each report is a Run of its own: {apart}.")
    return [
        Imported(
            as_run([report], options.seconds),
            options.output / str(number) if options.output else None,
            ((number, report),),
        )
        for number, report in reports
    ]


def _write(imported: list[Imported]) -> NetprobeError | None:
    """Write the Runs; the result is shown also where that fails."""
    from netprobe.commands.shared.recording import tell_written
    from netprobe.run.store import check_destination, write_run

    try:
        if len(imported) > 1 and (first := imported[0].path):
            _make_series(first.parent)
        for one in imported:
            if one.path is not None:
                check_destination(one.path)
                tell_written(one.path, write_run(one.run, one.path))
    except NetprobeError as error:
        return error
    return None


def _make_series(folder: Path) -> None:
    if folder.exists():
        raise NetprobeError(f"{folder} exists already.", hint="Choose another name for the Runs with -o.")
    try:
        folder.mkdir()
    except OSError as error:
        raise NetprobeError(f"The directory {folder} cannot be made: {error.strerror}.") from error


def _print_text(imported: list[Imported]) -> None:
    from netprobe.render.imported import blocks_as_text, short_lines, whole_lines
    from netprobe.render.text import say, show

    show(blocks_as_text([pair for one in imported for pair in one.reports]))
    click.echo("")
    for one in imported:
        number = one.reports[0][0] if len(imported) > 1 else None
        for line in whole_lines(one.run) if number is None else short_lines(one.run, number):
            say(line)


def _print_json(imported: list[Imported]) -> None:
    from netprobe.commands.shared.recording import print_json
    from netprobe.render.imported import as_json
    from netprobe.render.json import bare_envelope

    runs = [
        as_json(one.run, None if one.path is None else str(one.path), [number for number, _ in one.reports])
        for one in imported
    ]
    print_json(bare_envelope("import", {"runs": runs}))
