"""What could not be compared, in sentences. Missing is not zero."""

from __future__ import annotations

from collections.abc import Iterator

from netprobe.analysis.compare.intervals import FEWEST_BLOCKS
from netprobe.analysis.compare.loads import has_load
from netprobe.analysis.compare.metrics import COLUMNS, NEEDS, Group
from netprobe.analysis.compare.sides import Side


def skipped(a: Side, b: Side) -> Iterator[str]:
    """What one or both sides lack."""
    bare = [group for group in NEEDS if not (_has(a, group) or _has(b, group))]
    cut = [side.name for side in (a, b) if not side.has("intervals")]
    if cut:
        yield f"CANNOT TELL about {', '.join(NEEDS)}: {_who(cut)} table intervals (every recording has it)"
    elif bare and a.run.imported and b.run.imported:
        yield f"CANNOT TELL about {', '.join(bare)}: that is in neither of the imported Runs"
        yield from _tables(a, b, [group for group in NEEDS if group not in bare])
    else:
        yield from _tables(a, b, list(NEEDS))
    yield from _parts(a, b)
    yield from _rates(a, b)


def _who(lacking: list[str]) -> str:
    return "neither has" if len(lacking) == 2 else f"{lacking[0]} has no"


def _tables(a: Side, b: Side, groups: list[Group]) -> Iterator[str]:
    for group in groups:
        table, source = NEEDS[group]
        lacking = [side.name for side in (a, b) if not _has(side, group)]
        if lacking:
            what = f"column {COLUMNS[table]} in table {table}" if table in COLUMNS else f"table {table}"
            yield f"CANNOT TELL about {group}: {_who(lacking)} {what} ({source})"


def _parts(a: Side, b: Side) -> Iterator[str]:
    """What most Runs do not have: only one side that has it is worth a word."""
    for what, has, source in (
        ("failed calls", lambda side: side.has("syscall_errors"), "table syscall_errors (netprobe syscalls -x)"),
        ("load", has_load, "table load_rounds (netprobe bench)"),
    ):
        lacking = [side.name for side in (a, b) if not has(side)]
        if len(lacking) == 1:
            yield f"CANNOT TELL about {what}: {lacking[0]} has no {source}"


def _rates(a: Side, b: Side) -> Iterator[str]:
    untimed = " and ".join(side.name for side in (a, b) if not side.timed)
    if untimed and (a.requests is None or b.requests is None):
        yield (
            f"CANNOT TELL about any rate: how long {untimed} took is not known (netprobe import -d SECONDS), nor how "
            "many requests both served (--requests N)"
        )
    for side in (a, b):
        if side.only_most_frequent:
            yield f"CANNOT TELL about calls that {side.name} does not list: it has only the most frequent ones"
    in_intervals = a.has("intervals") and b.has("intervals") and not a.series
    if in_intervals and min(a.units, b.units) < FEWEST_BLOCKS:
        yield f"CANNOT TELL about anything: fewer than {FEWEST_BLOCKS} time intervals say nothing of their spread"


def _has(side: Side, group: Group) -> bool:
    return side.has_profile if group == "CPU time" else side.measured(NEEDS[group][0])
