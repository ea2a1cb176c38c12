"""Output of a profile: files, table, JSON."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flamegraph.errors import ProfileError
from netprobe.commands.shared.recording import print_json, print_notes, tell
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.commands.shared.profiles import FlameOptions
    from netprobe.run.model import Run

_ROWS = 30
_ROWS_BESIDE_A_PICTURE = 10


def deliver(profile: Profile, options: FlameOptions, run: Run | None, label: str) -> None:
    """Write the requested files, or one HTML file, and print the functions with most CPU time.

    The table is printed even where a file cannot be written.
    """
    failures = []
    for path in options.outputs or default_output(options, label):
        try:
            _write(profile, path, options, run, label)
        except (NetprobeError, ProfileError) as error:
            failures.append(error)
    _show(profile, options, run)
    sys.stdout.flush()
    if failures:
        raise failures[0]


def _show(profile: Profile, options: FlameOptions, run: Run | None) -> None:
    from flamegraph.tree import top

    rows = top(profile, _row_count(options))
    if options.as_json:
        _print_json(profile, rows, run)
        return
    from netprobe.render.flame import heading, losses, remarks, top_as_text
    from netprobe.render.text import say, show

    say(heading(profile))
    show(top_as_text(rows, profile))
    for line in remarks(profile) + ([] if run else losses(profile)):
        say(line)
    if run:
        print_notes(run)


def _row_count(options: FlameOptions) -> int:
    if options.top is not None:
        return options.top
    return 0 if options.as_json else _ROWS_BESIDE_A_PICTURE


def default_output(options: FlameOptions, label: str) -> tuple[Path, ...]:
    """One HTML file with an unused name, unless a table or JSON was requested."""
    if options.top is not None or options.as_json:
        return ()
    stem = re.sub(r"[^\w.-]+", "-", Path(label).name).strip("-.") or "profile"
    name = f"flame-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    numbers = chain([""], (f"-{number}" for number in count(2)))
    paths = (Path(f"{name}{number}.html") for number in numbers)
    return (next(path for path in paths if not path.exists()),)


def _write(profile: Profile, path: Path, options: FlameOptions, run: Run | None, label: str) -> None:
    if path.suffix:
        from flamegraph.writers import write

        write(profile, path, replace(options.drawing, title=options.drawing.title or _title(profile, run, label)))
    elif run:
        from netprobe.run.store import write_run

        write_run(run, path)
    else:
        raise NetprobeError(f"{path} has no suffix that names a format.", hint=f"For example -o {path}.html")
    tell(f"Written to {path}.{_hint(profile, path)}")


def _hint(profile: Profile, path: Path) -> str:
    """A note on the unit, which folded text does not contain."""
    from flamegraph.writers import folded

    if profile.info.unit == "samples" or not path.name.endswith(folded.SUFFIXES):
        return ""
    return f" The format has no unit: its numbers are {profile.info.unit}, read it with --unit {profile.info.unit}."


def _title(profile: Profile, run: Run | None, label: str) -> str:
    target = run.info.target.description if run else Path(label).name
    return f"{'Off-CPU' if profile.info.event == 'off-cpu' else 'CPU'} flame graph: {target}"


def _print_json(profile: Profile, rows: Any, run: Run | None) -> None:
    from netprobe.render.flame import as_json
    from netprobe.render.json import bare_envelope, envelope

    results = as_json(rows, profile)
    print_json(envelope("flame", run, results) if run else bare_envelope("flame", results))
