"""Output of the comparison of two profiles: files, table, JSON."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flamegraph.errors import ProfileError
from netprobe.commands.shared.recording import print_json, tell
from netprobe.commands.shared.shown_profile import default_output
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.diff import Diff, DiffOptions
    from flamegraph.profile import Profile
    from netprobe.commands.shared.profiles import FlameOptions
    from netprobe.run.model import Run

_ROWS_WITH_OUTPUT_FILE = 15


def deliver_diff(before: Profile, after: Profile, runs: tuple[Run | None, Run | None], options: FlameOptions) -> None:
    """Write the output files, and print the functions with the largest changes."""
    from flamegraph.diff import diff

    found = diff(before, after, _diff_options(before, after, runs, options))
    failures = _write(found, options)
    _show(found, options)
    sys.stdout.flush()
    if failures:
        raise failures[0]


def _diff_options(
    before: Profile, after: Profile, runs: tuple[Run | None, Run | None], options: FlameOptions
) -> DiffOptions:
    """The options of the comparison, with the verdict rule."""
    from flamegraph.diff import DiffOptions
    from netprobe.analysis.compare.flame_verdicts import verdict_rule, verdict_rule_within_recording

    specified = (options.comparing.requests_a, options.comparing.requests_b)
    requests_a, requests_b = (
        _requests(count, run, profile, options)
        for count, run, profile in zip(specified, runs, (before, after), strict=True)
    )
    name_a, name_b = _names(options)
    found = DiffOptions(
        per=options.comparing.per,
        requests_a=requests_a,
        requests_b=requests_b,
        fold_threads=options.fold_threads,
        root="none" if options.drawing.root == "none" else "comm",
        name_a=name_a,
        name_b=name_b,
    )
    if _same(*options.inputs):
        return replace(found, rule=verdict_rule_within_recording(before, after, found))
    return replace(found, rule=verdict_rule(before, after, found, all(map(_pinned, runs))))


def _names(options: FlameOptions) -> tuple[str, str]:
    """File names; with the directory if they are equal, and with the time range if both are the same file."""
    first, second = (Path(name) for name in options.inputs)
    if first.name != second.name:
        return first.name, second.name
    if not _same(*options.inputs):
        return str(first), str(second)
    if len(options.times) < 2:
        return f"{first.name} (A)", f"{second.name} (B)"
    (begin_a, end_a), (begin_b, end_b) = options.times
    return f"{first.name} {_span(begin_a, end_a)}", f"{second.name} {_span(begin_b, end_b)}"


def _span(begin: float, end: float) -> str:
    return f"{begin:g}-{end:g} s" if end < float("inf") else f"from {begin:g} s"


def _same(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _pinned(run: Run | None) -> bool:
    """Whether each serving thread may run on one CPU only, which reduces the variation between recordings."""
    from netprobe.analysis.compare.sides import Side

    return run is not None and "intervals" in run.tables and Side([run], "").pinned


def _requests(specified: float | None, run: Run | None, profile: Profile, options: FlameOptions) -> float | None:
    """The specified number of requests, else that of the Run, in proportion to a selected time range."""
    if specified or run is None:
        return specified
    from netprobe.analysis.request_count import request_count

    known = request_count(run)
    if known is None:
        return None
    share = min(profile.info.seconds / run.seconds, 1.0) if options.times and run.seconds else 1.0
    return known.count * share


def _write(found: Diff, options: FlameOptions) -> list[Exception]:
    from flamegraph.writers import write_diff

    failures: list[Exception] = []
    for path in options.outputs or default_output(options, "diff"):
        try:
            if not path.suffix:
                raise NetprobeError(
                    f"{path} has no extension, which selects the format.", hint=f"Specify one, such as {path}.html"
                )
            write_diff(found, path, options.drawing)
        except (NetprobeError, ProfileError) as error:
            failures.append(error)
        else:
            tell(f"Written to {path}.")
    return failures


def _show(found: Diff, options: FlameOptions) -> None:
    from netprobe.render.flame import diff_as_text
    from netprobe.render.json import bare_envelope
    from netprobe.render.text import say, show

    if options.as_json:
        document = found.to_dict(frames=False)
        if options.top:
            document["functions"] = document["functions"][: options.top]
        print_json(bare_envelope("flame", document))
        return
    rows = found.top(_ROWS_WITH_OUTPUT_FILE if options.top is None else options.top)
    say(f"{found.a.name} → {found.b.name}. {found.normalization.text}")
    show(diff_as_text(rows, found.normalization.unit))
    for note in found.notes:
        say(note)
