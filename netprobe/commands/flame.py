"""`netprobe flame`: a flame graph of a process, a Run, a perf.data, perf script text or folded stacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netprobe.commands.shared.recording import Request, check_request, shared_options
from netprobe.commands.shared.requests import RequestCount
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.run.model import Run


class _FlameCommand(click.Command):
    """What stands before `--` is read, what stands behind it is started."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before, dashes, behind = _split(args)
        if dashes and not behind:
            raise click.UsageError("Behind -- stands the server to start, with its arguments; there is nothing.", ctx)
        ctx.meta["netprobe.command"] = tuple(behind)
        return super().parse_args(ctx, before)


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    place = args.index("--")
    return args[:place], True, args[place + 1 :]


@dataclass(frozen=True)
class FlameOptions:
    """What was asked for, beyond whom to record."""

    inputs: tuple[str, ...]
    outputs: tuple[Path, ...]
    top: int | None
    as_json: bool
    diff: bool
    sampling: dict[str, Any]
    reading: dict[str, Any]
    drawing: dict[str, Any]
    comparing: dict[str, Any]
    thread: str | None
    times: tuple[tuple[float, float], ...]
    fold_threads: bool


def _groups(arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options' values under the part that they are for."""
    names = {
        "sampling": ("frequency", "off_cpu", "shortest", "user_only", "kernel_only"),
        "reading": ("event", "unit", "salvage", "addresses", "java_only_by_name"),
        "drawing": (
            "title", "root", "width", "min_width", "reverse", "inverted", "colors", "annotate_kernel", "annotate_jit",
        ),
        "comparing": ("per", "requests_a", "requests_b"),
    }  # fmt: skip
    return {group: {name: arguments.pop(name) for name in members} for group, members in names.items()}


class _TimeRange(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    name = "FROM-TO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Two numbers of seconds."""
        begin, dash, end = str(value).partition("-")
        try:
            span = (float(begin or 0), float(end) if end else float("inf"))
        except ValueError:
            span = (1.0, 0.0)
        if not dash or not 0 <= span[0] < span[1]:
            self.fail(f"{value!r} is not a range of seconds such as 2-5 or 2-", param, ctx)
        return span


_PALETTES = ("kind", "hot", "mem", "io", "aqua", "orange", "red", "green", "blue", "yellow", "purple")


@click.command(cls=_FlameCommand, short_help="A flame graph of a running server, a Run or a perf.data; or of two.")
@click.argument("inputs", nargs=-1, metavar="[FILE|RUN]... [-- SERVER [ARGS]...]")
@shared_options("pid", "comm", "duration")
@click.option(
    "-F",
    "--frequency",
    default=99,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Samples a second and CPU.",
)
@click.option("--off-cpu", is_flag=True, help="Where threads wait, weighted by how long, instead of where they run.")
@click.option(
    "--shortest",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="MICROSECONDS",
    help="With --off-cpu: leave out shorter waits.",
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
    help="Where to: .html .svg .folded .pb.gz .speedscope.json, or a name without ending: a Run; repeatable.",
)
@click.option(
    "-T",
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print a table of N functions (0 = all) and, without -o, draw nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--thread", metavar="NAME", help="Only threads of this name.")
@click.option(
    "--time",
    "times",
    type=_TimeRange(),
    multiple=True,
    help="Only these seconds of the recording: 2-5. With --diff also twice, for each side.",
)
@click.option("--fold-threads", is_flag=True, help="reactor-0, reactor-1 … as one reactor-N.")
@click.option("--diff", is_flag=True, help="Compare two inputs, before and after.")
@click.option(
    "--per",
    type=click.Choice(["share", "second", "request"]),
    default="share",
    show_default=True,
    help="With --diff: what weights are divided by.",
)
@click.option(
    "--requests-a",
    type=RequestCount(),
    metavar="N",
    help="With --per request: requests served in the first.",
)
@click.option("--requests-b", type=RequestCount(), metavar="N", help="… and in the second.")
@click.option("--event", metavar="NAME", help="Of a recording with several events: which.")
@click.option(
    "--unit", default="", metavar="UNIT", help="What the numbers of folded stacks count: ns, us, cycles; else samples."
)
@click.option("--salvage", is_flag=True, help="Of a corrupt file, use what stands before the corruption.")
@click.option("--addresses", is_flag=True, help="Addresses for frames without a name.")
@click.option(
    "--java-only-by-name", is_flag=True, help="perf script text: treat as Java only processes named exactly java."
)
@click.option("--title", default="", help="Title of the picture.")
@click.option(
    "--root",
    type=click.Choice(["comm", "pid", "tid", "none"]),
    default="comm",
    show_default=True,
    help="What stands at the base.",
)
@click.option(
    "--width", default=1200, show_default=True, type=click.IntRange(200, 20_000), help="Of an SVG, in pixels."
)
@click.option(
    "--min-width",
    default=0.1,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Leave out narrower boxes, in pixels.",
)
@click.option("--reverse", is_flag=True, help="Merge from the leaf: who calls it.")
@click.option("--inverted", is_flag=True, help="Root on top (icicle).")
@click.option("--colors", type=click.Choice(_PALETTES), default="kind", show_default=True, help="Palette.")
@click.option("--kernel", "annotate_kernel", is_flag=True, help="Append _[k] to kernel frames.")
@click.option("--jit", "annotate_jit", is_flag=True, help="Append _[j] to JIT and _[i] to inlined frames.")
@click.pass_context
def command(context: click.Context, /, **arguments: Any) -> None:  # fmt: skip
    """Draw where time goes.

    Without a FILE or RUN, stacks are sampled and counted in the kernel: of a process (-p), of a server that
    netprobe starts (--), or of the whole machine. A FILE is a perf.data, `perf script` text, folded stacks or a
    pprof profile, plain or gzip; - is standard input. The picture is one HTML file that needs nothing else.

    \b
    netprobe flame -p $(pgrep -o nginx) -d 10
    netprobe flame --off-cpu -p $(pgrep -o nginx) -o waits.svg
    netprobe flame perf.data -o nginx.html -o nginx.folded
    netprobe flame --diff before.data after.data
    """
    started = context.meta["netprobe.command"]
    request = Request(arguments.pop("pids"), arguments.pop("comm"), started, arguments.pop("seconds"))
    options = FlameOptions(**(_groups(arguments) | arguments))
    check_request(request)
    _check(options, request)
    _check_use(context, options)
    if options.diff:
        _compare(options)
    else:
        _draw(options, request)


def _check(options: FlameOptions, request: Request) -> None:
    recording = request.pids or request.comm or request.command
    if options.diff and (len(options.inputs) != 2 or recording):
        raise NetprobeError(
            "--diff compares two files or Runs.", hint="For example: netprobe flame --diff before.data after.data"
        )
    if options.inputs and recording:
        raise NetprobeError(
            "netprobe can read a file or record a process, not both at once.",
            hint=f"Leave out {options.inputs[0]}; or put -- before it if it is a server to start.",
        )
    if len(options.inputs) > 1 and not options.diff:
        raise NetprobeError("Several files are one picture only as a comparison.", hint="Add --diff, or name one file.")
    if len(options.times) > 1 + options.diff:
        raise NetprobeError(
            "--time was given too often.", hint="Give one range; with --diff at most one for each side."
        )
    if options.sampling["user_only"] and options.sampling["kernel_only"]:
        raise NetprobeError("-U and -K leave nothing together.", hint="Leave out one of them.")
    for path in options.outputs:
        _check_output(path)


_OF_RECORDING = ("seconds", "frequency", "off_cpu", "shortest", "user_only", "kernel_only")
_OF_COMPARING = ("per", "requests_a", "requests_b")
_OF_ONE_PICTURE = ("reverse", "colors", "root")


def _check_use(context: click.Context, options: FlameOptions) -> None:
    """Refuse options that would change nothing, as somebody expects something of them."""
    if options.inputs and (name := _given(context, _OF_RECORDING)):
        raise NetprobeError(
            f"{name} says how to record, and {options.inputs[0]} is recorded already.",
            hint=f"Leave out {name}, or record anew with -p PID instead of a file.",
        )
    if not options.diff and (name := _given(context, _OF_COMPARING)):
        raise NetprobeError(f"{name} is for comparisons.", hint="Add --diff and a second file or Run, or leave it out.")
    if options.diff and options.drawing["root"] != "none" and (name := _given(context, _OF_ONE_PICTURE)):
        raise NetprobeError(
            f"{name} is for a picture of one input: what a comparison shows has its own order and colours.",
            hint=f"Leave out {name}; the page of a comparison turns its order round at the key x.",
        )


def _given(context: click.Context, names: tuple[str, ...]) -> str:
    """The first of these options that stands on the command line, as it is spelt there."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is click.core.ParameterSource.COMMANDLINE:
            return parameter.opts[-1]
    return ""


def _check_output(path: Path) -> None:
    from flamegraph.writers.registry import writer_for
    from netprobe.run.store import check_destination

    if path.suffix:
        writer_for(path)
    else:
        check_destination(path)
    if not path.absolute().parent.is_dir():
        raise NetprobeError(f"The directory {path.absolute().parent} does not exist.", hint="Create it first.")


def _draw(options: FlameOptions, request: Request) -> None:
    from netprobe.commands.shared.profiles import record_profile
    from netprobe.commands.shared.shown_profile import deliver

    if options.inputs:
        # The Run of a file that is only read is not written again, and its notes are its own.
        (profile, _), run, label = _read(options.inputs[0], options), None, options.inputs[0]
    else:
        profile, run, label = record_profile(request, options.sampling)
    deliver(_chosen(profile, options, 0), options, run, label)


def _chosen(profile: Profile, options: FlameOptions, side: int) -> Profile:
    """The part of it that was asked for; raises `NetprobeError` where nothing is left."""
    time = options.times[min(side, len(options.times) - 1)] if options.times else None
    if time and not profile.info.interval_s:
        raise NetprobeError("--time cannot choose anything: the input has no times.", hint="Leave out --time.")
    if options.fold_threads and not options.diff:
        profile = profile.fold_threads()
    chosen = profile.filter(thread=options.thread, time=time)
    if not profile.total:
        raise _empty(options.inputs[min(side, len(options.inputs) - 1)], profile)
    if not len(chosen.samples):
        raise NetprobeError("No sample is left of what --thread and --time choose.", hint=_choices(profile))
    return chosen


def _choices(profile: Profile) -> str:
    names = sorted({thread.comm for thread in profile.threads} - {""})
    threads = f"Threads: {', '.join(names[:20])}." if names else "The input does not say which threads it has."
    return f"{threads} Length: {profile.info.seconds:.1f} s." if profile.info.seconds else threads


def _read(name: str, options: FlameOptions) -> tuple[Profile, Run | None]:
    """An input; raises `NetprobeError` for options that it has no use for."""
    from netprobe.commands.shared.profiles import read_input

    profile, run = read_input(name, options.reading)
    wanted = options.reading["event"]
    if run is not None and wanted and profile.info.event and wanted != profile.info.event:
        raise NetprobeError(f"The Run {name} has stacks of {profile.info.event} only.", hint="Leave out --event.")
    if options.reading["event"] and not profile.info.event:
        raise NetprobeError(f"{name} does not say what was sampled, so --event chooses nothing.", hint="Leave it out.")
    if options.reading["unit"] and profile.info.event:
        raise NetprobeError(
            f"{name} says by itself what its weights count: {profile.info.unit}.",
            hint="Leave out --unit: it is for folded stacks.",
        )
    return profile, run


def _empty(name: str, profile: Profile) -> NetprobeError:
    """Nothing was sampled: no page is drawn of it."""
    info = profile.info
    others = f"Choose another event with --event: {', '.join(info.other_events)}." if info.other_events else ""
    dropped = f" {' '.join(info.notes)}" if info.notes else ""
    return NetprobeError(
        f"There is no sample{f' of {info.event}' if info.event else ''} in {name}: nothing can be drawn.{dropped}",
        hint=others or "Record under load, for longer, or more often; the program may not have run at all.",
    )


def _compare(options: FlameOptions) -> None:
    from netprobe.commands.shared.shown_diff import deliver_diff

    (before, run_a), (after, run_b) = (_read(name, options) for name in options.inputs)
    deliver_diff(_chosen(before, options, 0), _chosen(after, options, 1), (run_a, run_b), options)
