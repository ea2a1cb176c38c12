"""Profiles as text and as JSON; the pictures are the flamegraph library's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flamegraph.amounts import amount
from netprobe.render.text import Column, TextTable
from netprobe.render.units import percent

if TYPE_CHECKING:
    from flamegraph.difftop import DiffRow
    from flamegraph.profile import Profile
    from flamegraph.top import TopRow

# A share of unknown frames above this is said with the table.
_UNKNOWN_WORTH_SAYING = 0.01


def top_as_text(rows: Sequence[TopRow], profile: Profile) -> TextTable:
    """Functions by what they take themselves."""
    columns = [Column("SELF %", True), Column("TOTAL %", True), *([Column("SAMPLES", True)] if profile.count else [])]
    columns += [Column("FUNCTION"), Column("IN")]
    cells = [
        [
            percent(row.own, profile.total),
            percent(row.total, profile.total),
            *([str(row.samples)] if profile.count else []),
            row.frame.name,
            row.frame.module or "-",
        ]
        for row in rows
    ]
    return TextTable(columns, cells)


_DIFF_STYLES = {"grown": "red", "new": "bold red", "shrunk": "green", "gone": "bold green"}


def diff_as_text(rows: Sequence[DiffRow], unit: str) -> TextTable:
    """Functions by what changed with all that they call; the verdict as sign and word."""
    columns = [
        Column(f"BEFORE {unit}", True),
        Column("AFTER", True),
        Column("CHANGE", True),
        Column("SELF CHANGE", True),
    ]
    columns += [Column(""), Column("FUNCTION"), Column("IN")]
    cells = [
        [
            _figure(row.total_a),
            _figure(row.total_b),
            _signed(row.change),
            _signed(row.own_change),
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
    """One line: what was sampled, how often, for how long."""
    info = profile.info
    parts = [
        f"{profile.count} sample{'s' * (profile.count != 1)}" if profile.count else amount(profile.total, info.unit)
    ]
    parts += [f"of {info.event}"] if info.event else []
    parts += [f"in {info.seconds:.1f} s"] if info.seconds else []
    if info.event == "off-cpu":
        parts = [f"{profile.total / 1e9:.3f} s of waiting in {profile.count} waits"]
        parts += [f"within {info.seconds:.1f} s"] if info.seconds else []
    return " ".join(parts)


def remarks(profile: Profile) -> list[str]:
    """What has to be known to trust it: sentences. What a Run says was dropped is not said again."""
    info = profile.info
    unknown = profile.unknown_share
    said = list(info.notes)
    if unknown > _UNKNOWN_WORTH_SAYING:
        said.insert(0, f"{percent(unknown, 1)} % of the time is in code without a name.")
    if info.other_events:
        said.append(f"The file also has the events {', '.join(info.other_events)}: choose one with --event.")
    return said


def dropped(profile: Profile) -> list[str]:
    """What the recorder itself dropped, for a profile that comes without a Run."""
    info = profile.info
    said = []
    if info.lost:
        said.append(f"Not complete: {info.lost} samples were lost while recording.")
    if info.truncated:
        said.append(f"Not complete: {info.truncated} stacks were deeper than what was kept.")
    return said


def as_json(rows: Sequence[TopRow], profile: Profile) -> dict[str, Any]:
    """As documented in schema/flame.json."""
    info = profile.info
    return {
        "event": info.event or None,
        "unit": info.unit,
        "seconds": info.seconds or None,
        "samples": profile.count or None,
        "weight": profile.total,
        "lost_samples": info.lost,
        "truncated_samples": info.truncated,
        "unknown_share": profile.unknown_share,
        "notes": list(info.notes),
        "functions": [
            {
                "function": row.frame.name,
                "module": row.frame.module or None,
                "kind": row.frame.kind.name.lower(),
                "self_weight": row.own,
                "total_weight": row.total,
                "self_samples": row.samples,
            }
            for row in rows
        ],
    }
