"""`netprobe flame`: flame graphs of a process, a Run, or a profile file; differences of two of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamegraph.readers import ReadOptions
from flamegraph.writers import WriteOptions
from netprobe.commands.shared.parameters import RequestCount
from netprobe.commands.shared.profiles import ComparingOptions, FlameOptions, SamplingOptions
from netprobe.commands.shared.recording import check_options, shared_options
from netprobe.engine.options import RecordOptions
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.run.model import Run


class _FlameCommand(click.Command):
    """Arguments before `--` are inputs to read; arguments after it are the server to start."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before, dashes, server = _split(args)
        if dashes and not server:
            raise click.UsageError("Specify the server to start, with its arguments, after --.", ctx)
        ctx.meta["netprobe.command"] = tuple(server)
        return super().parse_args(ctx, before)


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    place = args.index("--")
    return args[:place], True, args[place + 1 :]


_Group = TypeVar("_Group")
_DRAWING = (
    "title", "root", "width", "min_width", "reverse", "inverted", "colors", "annotate_kernel", "annotate_jit",
)  # fmt: skip


def _options(arguments: dict[str, Any]) -> FlameOptions:
    """The options of the command line, grouped by the code that uses them."""

    def group(cls: type[_Group], *names: str) -> _Group:
        return cls(**{name: arguments.pop(name) for name in names})

    return FlameOptions(
        sampling=group(SamplingOptions, "frequency", "off_cpu", "shortest", "user_only", "kernel_only"),
        reading=group(ReadOptions, "event", "unit", "salvage", "addresses", "java_only_by_name"),
        drawing=group(WriteOptions, *_DRAWING),
        comparing=group(ComparingOptions, "per", "requests_a", "requests_b"),
        **arguments,
    )


class _TimeRange(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    name = "FROM-TO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Begin and end in seconds."""
        begin, dash, end = str(value).partition("-")
        try:
            span = (float(begin or 0), float(end) if end else float("inf"))
        except ValueError:
            span = (1.0, 0.0)
        if not dash or not 0 <= span[0] < span[1]:
            self.fail(f"{value!r} is not a range of seconds such as 2-5 or 2-", param, ctx)
        return span


_PALETTES = ("kind", "hot", "mem", "io", "aqua", "orange", "red", "green", "blue", "yellow", "purple")


@click.command(
    cls=_FlameCommand, short_help="Draw a flame graph of a running server, a Run or a profile file, or compare two."
)
@click.argument("inputs", nargs=-1, metavar="[FILE|RUN]... [-- SERVER [ARGS]...]")
@shared_options("pid", "comm", "duration", "cache", "verbose")
@click.option(
    "-F",
    "--frequency",
    default=99,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Samples per second and CPU.",
)
@click.option("--off-cpu", is_flag=True, help="Sample waits, weighted by their duration, instead of CPU time.")
@click.option(
    "--shortest",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="MICROSECONDS",
    help="With --off-cpu: skip shorter waits.",
)
@click.option("-U", "--user-only", is_flag=True, help="User stacks only.")
@click.option("-K", "--kernel-only", is_flag=True, help="Kernel stacks only.")
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Output file: .html .svg .folded .pb.gz .speedscope.json; a name without suffix is a Run. Repeatable.",
)
@click.option(
    "-T",
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print a table of N functions (0: all); without -o, write no file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--thread", metavar="NAME", help="Only threads of this name.")
@click.option(
    "--time",
    "times",
    type=_TimeRange(),
    multiple=True,
    help="Only these seconds of the recording: 2-5. With --diff, may be repeated for the second input.",
)
@click.option("--fold-threads", is_flag=True, help="Merge numbered threads: reactor-0, reactor-1 … become reactor-N.")
@click.option("--diff", is_flag=True, help="Compare two inputs: before and after.")
@click.option(
    "--per",
    type=click.Choice(["share", "second", "request"]),
    default="share",
    show_default=True,
    help="With --diff: normalize by total, recording time or requests.",
)
@click.option(
    "--requests-a",
    type=RequestCount(),
    metavar="N",
    help="With --per request: number of requests of the first input.",
)
@click.option(
    "--requests-b", type=RequestCount(), metavar="N", help="With --per request: number of requests of the second input."
)
@click.option("--event", metavar="NAME", help="Event to read from a recording with several events.")
@click.option(
    "--unit", default="", metavar="UNIT", help="Unit of the numbers of folded stacks: ns, us, cycles … [samples]"
)
@click.option("--salvage", is_flag=True, help="Read a corrupt file up to the corruption.")
@click.option("--addresses", is_flag=True, help="Show addresses of frames without a name.")
@click.option(
    "--java-only-by-name", is_flag=True, help="perf script text: treat as Java only processes named exactly java."
)
@click.option("--title", default="", help="Title of the page.")
@click.option(
    "--root",
    type=click.Choice(["comm", "pid", "tid", "none"]),
    default="comm",
    show_default=True,
    help="Frame at the base of each stack.",
)
@click.option(
    "--width", default=1200, show_default=True, type=click.IntRange(200, 20_000), help="Width of an SVG in pixels."
)
@click.option(
    "--min-width",
    default=0.1,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Skip frames narrower than this, in pixels.",
)
@click.option("--reverse", is_flag=True, help="Merge stacks from the leaf: callers of each function.")
@click.option("--inverted", is_flag=True, help="Root on top (icicle).")
@click.option("--colors", type=click.Choice(_PALETTES), default="kind", show_default=True, help="Palette.")
@click.option("--kernel", "annotate_kernel", is_flag=True, help="Append _[k] to kernel frames.")
@click.option("--jit", "annotate_jit", is_flag=True, help="Append _[j] to JIT and _[i] to inlined frames.")
@click.pass_context
def command(context: click.Context, /, **arguments: Any) -> None:  # fmt: skip
    """Draw a flame graph of CPU time, or of waiting time (--off-cpu).

    Without a FILE or RUN, stacks are sampled and counted in the kernel: of a process (-p), of a server that
    netprobe starts (--), or of the whole machine. A FILE is a perf.data, `perf script` text, folded stacks or a
    pprof profile, plain or gzip; - is standard input. The output is one self-contained HTML file.

    \b
    netprobe flame -p $(pgrep -o nginx) -d 10
    netprobe flame --off-cpu -p $(pgrep -o nginx) -o waits.svg
    netprobe flame perf.data -o nginx.html -o nginx.folded
    netprobe flame --diff before.data after.data
    """
    started = context.meta["netprobe.command"]
    shared = {name: arguments.pop(name) for name in ("pids", "comm", "seconds", "use_cache", "verbose")}
    recording = RecordOptions(command=started, **shared)
    options = _options(arguments)
    check_options(recording)
    _check(options, recording)
    _check_use(context, options)
    if options.diff:
        _compare(options)
    else:
        _draw(options, recording)


def _check(options: FlameOptions, recording: RecordOptions) -> None:
    records = not recording.whole_machine
    if options.diff and (len(options.inputs) != 2 or records):
        raise NetprobeError(
            "--diff compares two files or Runs.", hint="For example: netprobe flame --diff before.data after.data"
        )
    if options.inputs and records:
        raise NetprobeError(
            "netprobe can read a file or record a process, not both at once.",
            hint=f"Remove {options.inputs[0]}, or put -- before it if it is a server to start.",
        )
    if len(options.inputs) > 1 and not options.diff:
        raise NetprobeError("Several files can only be compared.", hint="Add --diff, or name one file.")
    if len(options.times) > 1 + options.diff:
        raise NetprobeError(
            "--time was specified too often.", hint="Specify one range; with --diff, at most one per input."
        )
    if options.sampling.user_only and options.sampling.kernel_only:
        raise NetprobeError("-U and -K together select no stacks.", hint="Remove one of them.")
    for path in options.outputs:
        _check_output(path)


_OF_RECORDING = ("seconds", "frequency", "off_cpu", "shortest", "user_only", "kernel_only", "use_cache", "verbose")
_OF_COMPARING = ("per", "requests_a", "requests_b")
_OF_ONE_PICTURE = ("reverse", "colors", "root")


def _check_use(context: click.Context, options: FlameOptions) -> None:
    """Refuse options that would have no effect."""
    if options.inputs and (name := _given(context, _OF_RECORDING)):
        raise NetprobeError(
            f"{name} is an option of recordings, and {options.inputs[0]} is recorded already.",
            hint=f"Remove {name}, or record again with -p PID instead of a file.",
        )
    if not options.diff and (name := _given(context, _OF_COMPARING)):
        raise NetprobeError(f"{name} is for comparisons.", hint="Add --diff and a second file or Run, or remove it.")
    if options.diff and options.drawing.root != "none" and (name := _given(context, _OF_ONE_PICTURE)):
        raise NetprobeError(
            f"{name} is for a picture of one input: a comparison has its own order and colours.",
            hint=f"Remove {name}; the key x of the page swaps before and after.",
        )


def _given(context: click.Context, names: tuple[str, ...]) -> str:
    """The first of these options on the command line, in its long form."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is click.core.ParameterSource.COMMANDLINE:
            return parameter.opts[-1]
    return ""


def _check_output(path: Path) -> None:
    from flamegraph.writers import output_format
    from netprobe.run.destination import check_destination

    if path.suffix:
        output_format(path)
    else:
        check_destination(path)
    if not path.absolute().parent.is_dir():
        raise NetprobeError(f"The directory {path.absolute().parent} does not exist.", hint="Create it first.")


def _draw(options: FlameOptions, recording: RecordOptions) -> None:
    from netprobe.commands.shared.profiles import record_profile
    from netprobe.commands.shared.shown_profile import deliver

    if options.inputs:
        # A Run that is only read is not written again, and its notes are not those of a new recording.
        (profile, _), run, label = _read(options.inputs[0], options), None, options.inputs[0]
    else:
        profile, run, label = record_profile(recording, options.sampling)
    deliver(_selected(profile, options, 0), options, run, label)


def _selected(profile: Profile, options: FlameOptions, side: int) -> Profile:
    """The selected threads and times. Raises `NetprobeError` where no sample remains."""
    time = options.times[min(side, len(options.times) - 1)] if options.times else None
    if time and not profile.info.interval_s:
        raise NetprobeError("--time cannot be applied: the input has no times.", hint="Remove --time.")
    if options.fold_threads and not options.diff:
        profile = profile.fold_threads()
    selected = profile.filter(thread=options.thread, time=time)
    if not profile.total:
        raise _empty(options.inputs[min(side, len(options.inputs) - 1)], profile)
    if not len(selected.samples):
        raise NetprobeError("No sample matches --thread and --time.", hint=_choices(profile))
    return selected


def _choices(profile: Profile) -> str:
    names = sorted({thread.comm for thread in profile.threads} - {""})
    threads = f"Threads: {', '.join(names[:20])}." if names else "The input has no threads."
    return f"{threads} Length: {profile.info.seconds:.1f} s." if profile.info.seconds else threads


def _read(name: str, options: FlameOptions) -> tuple[Profile, Run | None]:
    """Read an input. Raises `NetprobeError` for options that do not apply to it."""
    from netprobe.commands.shared.profiles import read_input

    profile, run = read_input(name, options.reading)
    wanted = options.reading.event
    if run is not None and wanted and profile.info.event and wanted != profile.info.event:
        raise NetprobeError(f"The Run {name} has stacks of {profile.info.event} only.", hint="Remove --event.")
    if options.reading.event and not profile.info.event:
        raise NetprobeError(f"{name} does not name its event, so --event cannot be applied.", hint="Remove --event.")
    if options.reading.unit and profile.info.event:
        raise NetprobeError(
            f"{name} gives the unit of its weights: {profile.info.unit}.",
            hint="Remove --unit: it is for folded stacks.",
        )
    return profile, run


def _empty(name: str, profile: Profile) -> NetprobeError:
    """The error for a profile without samples, of which no page is drawn."""
    info = profile.info
    others = f"Choose another event with --event: {', '.join(info.other_events)}." if info.other_events else ""
    dropped = f" {' '.join(info.notes)}" if info.notes else ""
    return NetprobeError(
        f"{name} contains no sample{f' of {info.event}' if info.event else ''}: nothing can be drawn.{dropped}",
        hint=others or "Record under load, for longer, or at a higher frequency; the program may not have run.",
    )


def _compare(options: FlameOptions) -> None:
    from netprobe.commands.shared.shown_diff import deliver_diff

    (before, run_a), (after, run_b) = (_read(name, options) for name in options.inputs)
    deliver_diff(_selected(before, options, 0), _selected(after, options, 1), (run_a, run_b), options)
