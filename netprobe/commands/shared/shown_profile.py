"""A profile given to the user: files, table, JSON."""

from __future__ import annotations

import re
import sys
import time
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flamegraph.errors import ProfileError
from netprobe.commands.shared.recording import print_json, print_notes, tell
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from netprobe.commands.flame import FlameOptions
    from netprobe.run.model import Run

_ROWS = 30
_ROWS_BESIDE_A_PICTURE = 10


def deliver(profile: Profile, options: FlameOptions, run: Run | None, label: str) -> None:
    """Write the files that were asked for, or one HTML file, and show where most time goes.

    Neither takes the other with it when it fails.
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
    rows = profile.top(_rows_wanted(options))
    if options.as_json:
        _print_json(profile, rows, run)
        return
    from netprobe.render.flame import dropped, heading, remarks, top_as_text
    from netprobe.render.text import say, show

    say(heading(profile))
    show(top_as_text(rows, profile))
    for line in remarks(profile) + ([] if run else dropped(profile)):
        say(line)
    if run:
        print_notes(run)


def _rows_wanted(options: FlameOptions) -> int:
    if options.top is not None:
        return options.top
    return 0 if options.as_json else _ROWS_BESIDE_A_PICTURE


def default_output(options: FlameOptions, label: str) -> tuple[Path, ...]:
    """One HTML file under a name that is free, unless a table or JSON was asked for."""
    if options.top is not None or options.as_json:
        return ()
    stem = re.sub(r"[^\w.-]+", "-", Path(label).name).strip("-.") or "profile"
    name = f"flame-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    endings = chain([""], (f"-{number}" for number in count(2)))
    paths = (Path(f"{name}{ending}.html") for ending in endings)
    return (next(path for path in paths if not path.exists()),)


def _write(profile: Profile, path: Path, options: FlameOptions, run: Run | None, label: str) -> None:
    if path.suffix:
        title = options.drawing["title"] or _title(profile, run, label)
        profile.write(path, **{**options.drawing, "title": title})
    elif run:
        from netprobe.run.store import write_run

        write_run(run, path)
    else:
        raise NetprobeError(f"{path} has no ending that says what to write.", hint=f"For example -o {path}.html")
    tell(f"Written to {path}.{_hint(profile, path)}")


def _hint(profile: Profile, path: Path) -> str:
    """Folded text has no place for what its numbers count."""
    from flamegraph.writers import folded

    if profile.info.unit == "samples" or not path.name.endswith(folded.SUFFIXES):
        return ""
    return f" Its numbers are {profile.info.unit}, which the format cannot say: read it again with --unit."


def _title(profile: Profile, run: Run | None, label: str) -> str:
    whom = run.info.target.description if run else Path(label).name
    what = "Where it waits" if profile.info.event == "off-cpu" else "Where its time goes"
    return f"{what}: {whom}"


def _print_json(profile: Profile, rows: Any, run: Run | None) -> None:
    from netprobe.render.flame import as_json
    from netprobe.render.json import bare_envelope, envelope

    results = as_json(rows, profile)
    print_json(envelope("flame", run, results) if run else bare_envelope("flame", results))
