"""What got worse, for a gate; and what a gate could not judge."""

from __future__ import annotations

from collections.abc import Sequence

from netprobe.analysis.compare.change import Change


def regressions(rows: Sequence[Change], percent: float = 0.0) -> list[Change]:
    """What is at least so many percent worse in B; of locality, so many points.

    A new call or switch is one, unless it takes the place of others of its family. A new function is none: with
    another name it may be the same work.
    """
    named = {(row.group, row.name): row for row in rows if row.kind == "metric"}
    worse = [row for row in rows if row.changed and _is_worse(row, percent)]
    return [row for row in worse if not _is_another_form(row, named) and not _is_of_sleeps(row, rows)]


def _is_worse(row: Change, percent: float) -> bool:
    if row.worse == "less" and row.unit == "%":
        return row.verdict in ("less", "gone") and row.rate_a - row.rate_b >= percent
    if row.verdict in ("new", "gone"):
        return row.kind == "metric" and row.worse == {"new": "more", "gone": "less"}[row.verdict]
    if row.verdict != row.worse or row.change_pct is None:
        return False
    return abs(row.change_pct) >= percent


def _is_another_form(row: Change, named: dict[tuple[str, str], Change]) -> bool:
    """Whether it is of a family of which there is no more than before."""
    family = named.get((row.group, row.family)) if row.family else None
    return family is not None and family.verdict not in ("new", "more")


def _is_of_sleeps(row: Change, rows: Sequence[Change]) -> bool:
    """Of the whole machine's switches: whether the target's waits for work explain them; each is two switches."""
    if row.group != "machine":
        return False
    sleeps = [one for one in rows if one.group == "switches" and not one.worse]
    return row.rate_b - row.rate_a <= 2 * sum(one.rate_b - one.rate_a for one in sleeps)
