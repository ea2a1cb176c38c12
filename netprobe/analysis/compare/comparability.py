"""Are two recordings comparable? What differs between them other than what was measured, or is not known, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netprobe.analysis.compare.batches import has_load
from netprobe.analysis.compare.metrics import COLUMNS, COUNTED, NEEDS, Group
from netprobe.analysis.compare.sides import Side
from netprobe.analysis.compare.variance import FEWEST_BLOCKS

# Tables that are compared where both sides have them.
COMPARED = (*COUNTED, "profile_samples")
# From here on a difference is worth saying.
_LENGTH, _LOAD, _QUALITY = 0.10, 0.05, 0.01


@dataclass(frozen=True)
class Difference:
    """`aspect`: kernel, load …; `words`: a sentence; `before`, `after`: the values as text."""

    aspect: str
    words: str
    before: str
    after: str


def differences(a: Side, b: Side) -> list[Difference]:
    """All that differs or of which nobody knows whether it does, the most disturbing first."""
    found = [*_within(a), *_within(b), *_host(a, b), *_programs(a, b), *_probes(a, b), *_tables(a, b), *_threads(a, b)]
    return [*found, *_load(a, b), *_length(a, b), *_sampling(a, b), *_symbols(a, b), *_dropped(a, b)]


_HOST = (
    ("hostname", "host", "The recordings are of two machines"),
    ("cpu_model", "CPU", "The processors differ"),
    ("architecture", "architecture", "The architectures differ"),
    ("kernel", "kernel", "The kernels differ"),
    ("kernel_version", "kernel build", "The kernels are of the same release but of different builds"),
    ("cpus_online", "CPUs", "Not the same CPUs were online"),
)


def _within(side: Side) -> Iterator[Difference]:
    """What the Runs of a series do not have in common; of the rest its first one is looked at."""
    for key, aspect, _ in _HOST:
        values = sorted({str(run.info.get("host", {}).get(key, "?")) for run in side.runs})
        if len(values) > 1:
            yield Difference(aspect, f"The Runs of {side.name} differ in {aspect}: {', '.join(values)}.", *values[:2])


def _host(a: Side, b: Side) -> Iterator[Difference]:
    before, after = a.run.info.get("host", {}), b.run.info.get("host", {})
    unknown = [side.name for side in (a, b) if side.run.imported]
    if unknown:
        words = f"What machine {' and '.join(unknown)} was recorded on is known in part at most: it was imported."
        yield Difference("host", words, "?", "?")
    for key, aspect, words in _HOST:
        if unknown and (before.get(key) is None or after.get(key) is None):
            continue
        left, right = str(before.get(key, "?")), str(after.get(key, "?"))
        if left != right and not (key == "kernel_version" and before.get("kernel") != after.get("kernel")):
            yield Difference(aspect, f"{words}: {left} and {right}.", left, right)
    if before.get("boot_parameters", "") is not None and after.get("boot_parameters", "") is not None:
        yield from _boot(str(before.get("boot_parameters", "")), str(after.get("boot_parameters", "")))


def _boot(before: str, after: str) -> Iterator[Difference]:
    gone = [word for word in before.split() if word not in after.split()]
    new = [word for word in after.split() if word not in before.split()]
    if gone or new:
        words = _only(" ".join(gone), " ".join(new))
        yield Difference("boot parameters", f"The boot parameters differ: {words}.", before, after)


def _only(left: str, right: str) -> str:
    return "; ".join(f"only {side} has {what}" for side, what in (("A", left), ("B", right)) if what)


def _programs(a: Side, b: Side) -> Iterator[Difference]:
    if not (a.has("programs") and b.has("programs")):
        yield Difference("program", "Whether both are of the same program cannot be told.", "?", "?")
        return
    before, after = _builds(a), _builds(b)
    for path in sorted(before.keys() & after.keys()):
        if before[path] != after[path]:
            left, right = ", ".join(sorted(before[path])), ", ".join(sorted(after[path]))
            yield Difference("program", f"{path} is another build: {left} and {right}.", left, right)
    left, right = ", ".join(sorted(before.keys() - after.keys())), ", ".join(sorted(after.keys() - before.keys()))
    if left or right:
        yield Difference("program", f"Not the same programs ran: {_only(left, right)}.", left, right)


def _builds(side: Side) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in side.runs:
        for path, build_id, size in run.tables["programs"].rows("path", "build_id", "size_bytes"):
            found.setdefault(path, set()).add(f"build {build_id[:12]}" if build_id else f"{size} bytes")
    return found


def _probes(a: Side, b: Side) -> Iterator[Difference]:
    before, after = (set(side.run.info.get("probes", ())) for side in (a, b))
    if before != after:
        left, right = ", ".join(sorted(before - after)), ", ".join(sorted(after - before))
        words = f"Not the same was recorded: {_only(left, right)}; what both have is compared."
        yield Difference("probes", words, left, right)
    ways = [side.run.info.get("attach_mechanisms", {}) for side in (a, b)]
    for what in sorted(ways[0].keys() & ways[1].keys()):
        left, right = ways[0][what], ways[1][what]
        if left != right:
            yield Difference("way of measuring", f"{what}: by {left} and by {right}.", left, right)


def _tables(a: Side, b: Side) -> Iterator[Difference]:
    """Tables that only one side has although both recorded the same: lost on the way, or of another version."""
    if set(a.run.info.get("probes", ())) != set(b.run.info.get("probes", ())):
        return
    only_a = [table for table in COMPARED if a.has(table) and not b.has(table)]
    only_b = [table for table in COMPARED if b.has(table) and not a.has(table)]
    if only_a or only_b:
        left, right = ", ".join(only_a), ", ".join(only_b)
        words = f"Not the same tables are there: {_only(left, right)}; what both have is compared."
        yield Difference("tables", words, left, right)


def _threads(a: Side, b: Side) -> Iterator[Difference]:
    before, after = _affinity(a), _affinity(b)
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            left, right = before[name], after[name]
            yield Difference("CPUs of threads", f"{name} may run on CPU {left} and on CPU {right}.", left, right)


def _affinity(side: Side) -> dict[str, str]:
    if not side.has("threads") or "cpus_allowed" not in side.run.tables["threads"].columns:
        return {}
    found: dict[str, set[str]] = {}
    for name, cpus in side.run.tables["threads"].rows("thread", "cpus_allowed"):
        if cpus:
            found.setdefault(name, set()).add(cpus)
    return {name: " or ".join(sorted(cpus)) for name, cpus in found.items()}


def _load(a: Side, b: Side) -> Iterator[Difference]:
    if unknown := [side.name for side in (a, b) if side.requests is None]:
        words = f"How many requests {' and '.join(unknown)} served is not known"
        rest = ", so the load may differ" if len(unknown) == 2 else ""
        yield Difference("load", f"{words}{rest}.", "?", "?")
    if a.requests is None or b.requests is None:
        return
    left, right = a.requests / a.seconds, b.requests / b.seconds
    if a.timed and b.timed and abs(right - left) > _LOAD * max(left, right):
        words = f"The load differs by {100 * (right / left - 1):+.0f} %: {left:.0f} and {right:.0f} requests a second."
        yield Difference("load", words, f"{left:.1f}", f"{right:.1f}")
    estimated = [any(clock.estimated for clock in side.clocks) for side in (a, b)]
    if estimated[0] != estimated[1]:
        words = f"The requests of {'A' if estimated[0] else 'B'} are an estimate, those of the other were told."
        yield Difference("requests", words, *("estimated" if one else "told" for one in estimated))


def _length(a: Side, b: Side) -> Iterator[Difference]:
    if not (a.timed and b.timed):
        which = " and ".join(side.name for side in (a, b) if not side.timed)
        yield Difference("length", f"How long {which} took is not known.", "?", "?")
    else:
        yield from _unequal(*([float(clock.seconds.sum()) for clock in side.clocks] for side in (a, b)))
    if a.run.duty_cycled != b.run.duty_cycled:
        which, other = ("A", "B") if a.run.duty_cycled else ("B", "A")
        words = f"{which} was recorded with --light: netprobe slowed down the server of {other} more."
        yield Difference("light", words, *("light" if side.run.duty_cycled else "in full" for side in (a, b)))


def _unequal(before: list[float], after: list[float]) -> Iterator[Difference]:
    """Of the length of each Run: two series of many short and of few long ones may have the same sum."""
    shortest, longest = min(*before, *after), max(*before, *after)
    if longest - shortest > _LENGTH * longest:
        left, right = _span(before), _span(after)
        yield Difference("length", f"The recordings are not equally long: {left} and {right}.", left, right)


def _span(lengths: list[float]) -> str:
    least, most = f"{min(lengths):.1f}", f"{max(lengths):.1f}"
    return f"{most} s" if least == most else f"{least} to {most} s"


def _sampling(a: Side, b: Side) -> Iterator[Difference]:
    if not (a.has_profile and b.has_profile):
        return
    before, after = a.profiles[0].info, b.profiles[0].info
    if (before.event, before.unit) != (after.event, after.unit):
        words = f"Stacks were sampled by {before.event or '?'} and by {after.event or '?'}."
        yield Difference("samples", words, before.event, after.event)


def _symbols(a: Side, b: Side) -> Iterator[Difference]:
    if not (a.has_profile and b.has_profile):
        return
    for aspect, words, values in (
        ("unknown frames", "samples in code without a name", [_mean_unknown(side) for side in (a, b)]),
        ("cut stacks", "samples whose stack was cut off", [_share(side, "truncated") for side in (a, b)]),
        ("lost samples", "samples that were lost", [_share(side, "lost") for side in (a, b)]),
    ):
        if abs(values[0] - values[1]) >= _QUALITY:
            left, right = (f"{value:.1%}" for value in values)
            moved = f"The share of {words} moved from {left} to {right}"
            yield Difference(aspect, f"{moved}: part of what differs is about symbols, not code.", left, right)


def _mean_unknown(side: Side) -> float:
    total = sum(profile.total for profile in side.profiles)
    return sum(profile.unknown_share * profile.total for profile in side.profiles) / total if total else 0.0


def _share(side: Side, what: str) -> float:
    samples = sum(profile.count for profile in side.profiles)
    return sum(getattr(profile.info, what) for profile in side.profiles) / samples if samples else 0.0


def _dropped(a: Side, b: Side) -> Iterator[Difference]:
    for side in (a, b):
        for run in side.runs:
            for sentence in _sentences(run.info):
                yield Difference("not complete", f"{side.name}: {sentence}.", "", "")


def _sentences(info: Mapping[str, Any]) -> list[str]:
    return [str(sentence).rstrip(".") for sentence in (*info.get("dropped", ()), *info.get("unavailable", ()))]


def skipped(a: Side, b: Side) -> Iterator[str]:
    """What one or both sides lack."""
    bare = [group for group in NEEDS if not (_has(a, group) or _has(b, group))]
    cut = [side.name for side in (a, b) if not side.has("intervals")]
    if cut:
        yield f"CANNOT TELL about {', '.join(NEEDS)}: {_who(cut)} table intervals (every recording has it)"
    elif bare and a.run.imported and b.run.imported:
        yield f"CANNOT TELL about {', '.join(bare)}: that is in neither of the imported Runs"
        yield from _missing_tables(a, b, [group for group in NEEDS if group not in bare])
    else:
        yield from _missing_tables(a, b, list(NEEDS))
    yield from _parts(a, b)
    yield from _rates(a, b)


def _who(lacking: list[str]) -> str:
    return "neither has" if len(lacking) == 2 else f"{lacking[0]} has no"


def _missing_tables(a: Side, b: Side, groups: list[Group]) -> Iterator[str]:
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
