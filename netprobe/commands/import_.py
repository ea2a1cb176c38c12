"""`netprobe import`: reports of other tools as a Run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netprobe.commands.shared.parameters import RequestCount, Seconds
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from netprobe.importers.report import Report
    from netprobe.run.model import Run


@dataclass(frozen=True)
class ImportOptions:
    """The options of the command line."""

    output: Path | None
    numbers: tuple[int, ...]
    seconds: float | None
    requests: float | None
    architecture: str


@dataclass(frozen=True)
class Imported:
    """A Run, the path that it is written to, and its reports with their numbers."""

    run: Run
    path: Path | None
    reports: tuple[tuple[int, Report], ...]


@click.command(short_help="Convert reports of other tools (syscount, strace -c, sar, pidstat, wrk …) to a Run.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Write the Run to this directory.")
@click.option(
    "--report",
    "numbers",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="Import only report N; may be given again.",
)
@click.option("--block", "old_numbers", type=click.IntRange(min=1), multiple=True, hidden=True)
@click.option(
    "-d",
    "--duration",
    "seconds",
    type=Seconds(),
    metavar="SECONDS",
    help="Length of reports that do not contain it (syscount, strace -c, perf trace -s, folded stacks).",
)
@click.option(
    "--requests",
    type=RequestCount(),
    metavar="N",
    help="Number of requests that were served in that time.",
)
@click.option(
    "--arch",
    "architecture",
    type=click.Choice(["x86_64", "aarch64"]),
    default="x86_64",
    show_default=True,
    help="Architecture of system calls that are reported as numbers (bpftrace).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(
    files: tuple[str, ...], as_json: bool, numbers: tuple[int, ...], old_numbers: tuple[int, ...], **options: Any
) -> None:
    """Import the output of other tools, and evaluate the rules on it.

    The format of a FILE is recognized by its content, not its name: syscount of bcc and of bpftrace, strace -c, perf
    trace -s, sar -w, pidstat -w, wrk and its derivatives, the listing "name, cpu=N, socket I" of a reuseport trace,
    folded stacks, perf script text, perf.data; plain or gzip; - is standard input. A text may contain several reports
    between other lines.

    Reports that may be of one recording become one Run. Otherwise (two reports of one kind, or of different lengths)
    each becomes a separate Run: RUN/1, RUN/2 …, by the number of the report. Data that a tool does not report are not
    known in the Run either, and rules that need them are INCONCLUSIVE.

    \b
    netprobe import syscount.txt -d 10 -o before
    netprobe import strace.txt wrk.txt perf.data -o before
    netprobe import article.txt --report 10 -o before
    """
    wanted = ImportOptions(numbers=numbers + old_numbers, **options)
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
    from netprobe.importers.imported_run import as_run
    from netprobe.importers.reading import read_reports
    from netprobe.importers.selection import selected, why_separate

    if files.count("-") > 1:
        raise NetprobeError("Standard input can be read only once.", hint="Name - once.")
    found = [report for name in files for report in read_reports(name, options.architecture)]
    reports = selected(found, options.numbers)
    reason = why_separate([report for _, report in reports], options.seconds)
    if not reason:
        run = as_run([report for _, report in reports], options.seconds, options.requests)
        return [Imported(run, options.output, tuple(reports))]
    if options.requests:
        raise NetprobeError(
            f"--requests is for one recording, and these are several: {reason}.", hint="Select with --report."
        )
    tell(f"Each report becomes a separate Run: {reason}.")
    return [
        Imported(
            as_run([report], options.seconds),
            options.output / str(number) if options.output else None,
            ((number, report),),
        )
        for number, report in reports
    ]


def _write(imported: list[Imported]) -> NetprobeError | None:
    """Write the Runs; the result is printed even if that fails."""
    from netprobe.commands.shared.recording import tell_written
    from netprobe.run.destination import check_destination
    from netprobe.run.store import write_run

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
        raise NetprobeError(f"The directory {folder} cannot be created: {error.strerror}.") from error


def _print_text(imported: list[Imported]) -> None:
    from netprobe.render.imported import reports_as_text, run_lines, short_run_lines
    from netprobe.render.text import say, show

    show(reports_as_text([pair for one in imported for pair in one.reports]))
    click.echo("")
    for one in imported:
        number = one.reports[0][0] if len(imported) > 1 else None
        for line in run_lines(one.run) if number is None else short_run_lines(one.run, number):
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
