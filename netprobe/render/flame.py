"""Profiles as text and as JSON; the pictures are the flamegraph library's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flamegraph.weights import format_weight
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import percent

if TYPE_CHECKING:
    from flamegraph.diff import DiffRow
    from flamegraph.profile import Profile
    from flamegraph.tree import TopRow

# A larger share of unsymbolized stacks is reported with the table.
_MAX_UNSYMBOLIZED_SHARE = 0.01


def top_as_text(rows: Sequence[TopRow], profile: Profile) -> TextTable:
    """Functions by self weight."""
    columns = [
        TextColumn("SELF %", True),
        TextColumn("TOTAL %", True),
        *([TextColumn("SAMPLES", True)] if profile.count else []),
    ]
    columns += [TextColumn("FUNCTION"), TextColumn("IN")]
    cells = [
        [
            percent(row.self_weight, profile.total),
            percent(row.total_weight, profile.total),
            *([str(row.samples)] if profile.count else []),
            row.frame.name,
            row.frame.module or "-",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


_DIFF_STYLES = {"grown": "red", "new": "bold red", "shrunk": "green", "gone": "bold green"}


def diff_as_text(rows: Sequence[DiffRow], unit: str) -> TextTable:
    """Functions by change with callees; verdicts as sign and label."""
    columns = [
        TextColumn(f"BEFORE {unit}", True),
        TextColumn("AFTER", True),
        TextColumn("CHANGE", True),
        TextColumn("SELF CHANGE", True),
    ]
    columns += [TextColumn(""), TextColumn("FUNCTION"), TextColumn("IN")]
    cells = [
        [
            _figure(row.total_a),
            _figure(row.total_b),
            _signed(row.change),
            _signed(row.self_change),
            f"{row.verdict.sign} {row.verdict.word}",
            row.frame.name,
            row.frame.module or "-",
        ]
        for row in rows
    ]
    styles = {
        (number, 4): _DIFF_STYLES[row.verdict.word]
        for number, row in enumerate(rows)
        if row.verdict.word in _DIFF_STYLES
    }
    return TextTable(columns, cells, cell_styles=styles)


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < 1000 else f"{value:+.4g}"


def heading(profile: Profile) -> str:
    """One line: samples, event, length."""
    info = profile.info
    parts = [
        f"{profile.count} sample{'s' * (profile.count != 1)}"
        if profile.count
        else format_weight(profile.total, info.unit)
    ]
    parts += [f"of {info.event}"] if info.event else []
    parts += [f"in {info.seconds:.1f} s"] if info.seconds else []
    if info.event == "off-cpu":
        parts = [f"{profile.total / 1e9:.3f} s of waiting in {profile.count} waits"]
        parts += [f"within {info.seconds:.1f} s"] if info.seconds else []
    return " ".join(parts)


def remarks(profile: Profile) -> list[str]:
    """Notes of the profile, unsymbolized stacks, and other events of the file."""
    info = profile.info
    notes = list(info.notes)
    if profile.unsymbolized_share > _MAX_UNSYMBOLIZED_SHARE:
        notes.insert(0, f"{percent(profile.unsymbolized_share, 1)} % of the weight is unsymbolized.")
    if info.other_events:
        notes.append(f"The file also has the events {', '.join(info.other_events)}: choose one with --event.")
    return notes


def losses(profile: Profile) -> list[str]:
    """Lost samples and truncated stacks, for a profile without a Run, which reports them itself."""
    info = profile.info
    notes = []
    if info.lost:
        notes.append(f"Incomplete: {info.lost} samples were lost while recording.")
    if info.truncated:
        notes.append(f"Incomplete: {info.truncated} stacks were truncated at the recorded depth.")
    return notes


def as_json(rows: Sequence[TopRow], profile: Profile) -> dict[str, Any]:
    """The document of schema/flame.json."""
    info = profile.info
    return {
        "event": info.event or None,
        "unit": info.unit,
        "seconds": info.seconds or None,
        "samples": profile.count or None,
        "weight": profile.total,
        "lost_samples": info.lost,
        "truncated_samples": info.truncated,
        "unsymbolized_share": profile.unsymbolized_share,
        "notes": list(info.notes),
        "functions": [
            {
                "function": row.frame.name,
                "module": row.frame.module or None,
                "kind": row.frame.kind.name.lower(),
                "self_weight": row.self_weight,
                "total_weight": row.total_weight,
                "self_samples": row.samples,
            }
            for row in rows
        ],
    }
