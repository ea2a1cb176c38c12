"""Comparability of two sides: differences other than the measured ones, and metrics that cannot be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netprobe.analysis.compare.batches import has_load_results
from netprobe.analysis.compare.metrics import Source, compared_tables, needed_by_group
from netprobe.analysis.compare.sides import Side
from netprobe.analysis.compare.variance import MIN_INTERVALS
from netprobe.run.description import RunInfo
from netprobe.run.schema.columns import MetricGroup

# Smaller relative differences of length and load, and smaller shares of samples, cause no warning.
_LENGTH, _LOAD, _QUALITY = 0.10, 0.05, 0.01


@dataclass(frozen=True)
class ComparabilityWarning:
    """`aspect`: kernel, load …; `message`: a sentence; `before`, `after`: the values as text."""

    aspect: str
    message: str
    before: str
    after: str


def comparability_warnings(a: Side, b: Side) -> list[ComparabilityWarning]:
    """All aspects that differ, or that may differ because they are not known; the most important first."""
    found = [*_within(a), *_within(b), *_host(a, b), *_programs(a, b), *_probes(a, b), *_tables(a, b), *_threads(a, b)]
    return [*found, *_load(a, b), *_length(a, b), *_sampling(a, b), *_symbols(a, b), *_incomplete(a, b)]


# Field of run.json, aspect, sentence.
_HOST = (
    ("hostname", "host", "The hosts differ"),
    ("cpu_model", "CPU", "The CPU models differ"),
    ("architecture", "architecture", "The architectures differ"),
    ("kernel", "kernel", "The kernels differ"),
    ("kernel_version", "kernel build", "The builds of the kernel differ"),
    ("cpus_online", "CPUs", "The online CPUs differ"),
)


def _within(side: Side) -> Iterator[ComparabilityWarning]:
    """Differences between the Runs of a series. All other checks use its first Run."""
    for key, aspect, _ in _HOST:
        values = sorted({str(getattr(run.info.host, key) or "?") for run in side.runs})
        if len(values) > 1:
            message = f"The Runs of {side.name} differ in {aspect}: {', '.join(values)}."
            yield ComparabilityWarning(aspect, message, *values[:2])


def _host(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    before, after = a.run.info.host, b.run.info.host
    imported = [side.name for side in (a, b) if side.run.imported]
    if imported:
        message = f"The host of {' and '.join(imported)} is known in part at most, because the data were imported."
        yield ComparabilityWarning("host", message, "?", "?")
    for key, aspect, sentence in _HOST:
        if imported and (getattr(before, key) is None or getattr(after, key) is None):
            continue
        left, right = str(getattr(before, key)), str(getattr(after, key))
        if left != right and not (key == "kernel_version" and before.kernel != after.kernel):
            yield ComparabilityWarning(aspect, f"{sentence}: {left} and {right}.", left, right)
    if before.boot_parameters is not None and after.boot_parameters is not None:
        yield from _boot(before.boot_parameters, after.boot_parameters)


def _boot(before: str, after: str) -> Iterator[ComparabilityWarning]:
    gone = [word for word in before.split() if word not in after.split()]
    new = [word for word in after.split() if word not in before.split()]
    if gone or new:
        message = f"The boot parameters differ: {_only(' '.join(gone), ' '.join(new))}."
        yield ComparabilityWarning("boot parameters", message, before, after)


def _only(left: str, right: str) -> str:
    return "; ".join(f"only {side} has {names}" for side, names in (("A", left), ("B", right)) if names)


def _programs(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    if not (a.has("programs") and b.has("programs")):
        yield ComparabilityWarning("program", "It is not known whether both sides ran the same program.", "?", "?")
        return
    before, after = _builds(a), _builds(b)
    for path in sorted(before.keys() & after.keys()):
        if before[path] != after[path]:
            left, right = ", ".join(sorted(before[path])), ", ".join(sorted(after[path]))
            yield ComparabilityWarning("program", f"The builds of {path} differ: {left} and {right}.", left, right)
    left, right = ", ".join(sorted(before.keys() - after.keys())), ", ".join(sorted(after.keys() - before.keys()))
    if left or right:
        yield ComparabilityWarning("program", f"The programs differ: {_only(left, right)}.", left, right)


def _builds(side: Side) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in side.runs:
        for path, build_id, size in run.tables["programs"].rows("path", "build_id", "size_bytes"):
            found.setdefault(path, set()).add(f"build {build_id[:12]}" if build_id else f"{size} bytes")
    return found


def _probes(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    before, after = (set(side.run.info.probes) for side in (a, b))
    if before != after:
        left, right = ", ".join(sorted(before - after)), ", ".join(sorted(after - before))
        message = f"The probes differ: {_only(left, right)}. Only data of both sides are compared."
        yield ComparabilityWarning("probes", message, left, right)
    mechanisms_a, mechanisms_b = (side.run.info.attach_mechanisms for side in (a, b))
    for hook in sorted(mechanisms_a.keys() & mechanisms_b.keys()):
        left, right = mechanisms_a[hook], mechanisms_b[hook]
        if left != right:
            message = f"The attach mechanisms of {hook} differ: {left} and {right}."
            yield ComparabilityWarning("attach mechanism", message, left, right)


def _tables(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    """Tables of one side only, although both used the same probes: deleted, or from another version of netprobe."""
    if set(a.run.info.probes) != set(b.run.info.probes):
        return
    only_a = [table for table in compared_tables() if a.has(table) and not b.has(table)]
    only_b = [table for table in compared_tables() if b.has(table) and not a.has(table)]
    if only_a or only_b:
        left, right = ", ".join(only_a), ", ".join(only_b)
        message = f"The tables differ: {_only(left, right)}. Only tables of both sides are compared."
        yield ComparabilityWarning("tables", message, left, right)


def _threads(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    before, after = _affinity(a), _affinity(b)
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            left, right = before[name], after[name]
            message = f"The affinity of {name} differs: CPU {left} and CPU {right}."
            yield ComparabilityWarning("CPU affinity", message, left, right)


def _affinity(side: Side) -> dict[str, str]:
    if not side.has("threads") or "cpus_allowed" not in side.run.tables["threads"].columns:
        return {}
    found: dict[str, set[str]] = {}
    for name, cpus in side.run.tables["threads"].rows("thread", "cpus_allowed"):
        if cpus:
            found.setdefault(name, set()).add(cpus)
    return {name: " or ".join(sorted(cpus)) for name, cpus in found.items()}


def _load(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    if unknown := [side.name for side in (a, b) if side.requests is None]:
        message = f"The number of requests in {' and '.join(unknown)} is not known, so the load may differ."
        yield ComparabilityWarning("load", message, "?", "?")
    if a.requests is None or b.requests is None:
        return
    left, right = a.requests / a.seconds, b.requests / b.seconds
    if a.timed and b.timed and abs(right - left) > _LOAD * max(left, right):
        growth = 100 * (right / left - 1)
        message = f"The load differs by {growth:+.0f} %: {left:.0f} and {right:.0f} requests per second."
        yield ComparabilityWarning("load", message, f"{left:.1f}", f"{right:.1f}")
    if a.requests_estimated != b.requests_estimated:
        estimated, reported = ("A", "B") if a.requests_estimated else ("B", "A")
        message = f"The number of requests is an estimate in {estimated}, and a reported number in {reported}."
        origins = ("estimated" if side.requests_estimated else "reported" for side in (a, b))
        yield ComparabilityWarning("requests", message, *origins)


def _length(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    if not (a.timed and b.timed):
        untimed = " and ".join(side.name for side in (a, b) if not side.timed)
        yield ComparabilityWarning("length", f"The length of {untimed} is not known.", "?", "?")
    else:
        lengths = ([float(exposure.seconds.sum()) for exposure in side.by_run] for side in (a, b))
        yield from _different_lengths(*lengths)
    if a.run.duty_cycled != b.run.duty_cycled:
        light, other = ("A", "B") if a.run.duty_cycled else ("B", "A")
        message = f"{light} is a duty-cycled recording (--light): netprobe slowed down the server more in {other}."
        kinds = ("duty-cycled" if side.run.duty_cycled else "continuous" for side in (a, b))
        yield ComparabilityWarning("duty cycle", message, *kinds)


def _different_lengths(before: list[float], after: list[float]) -> Iterator[ComparabilityWarning]:
    """Compare the length of each Run: a series of many short Runs may have the same total as one of few long Runs."""
    shortest, longest = min(*before, *after), max(*before, *after)
    if longest - shortest > _LENGTH * longest:
        left, right = _range(before), _range(after)
        yield ComparabilityWarning("length", f"The lengths differ: {left} and {right}.", left, right)


def _range(lengths: list[float]) -> str:
    low, high = f"{min(lengths):.1f}", f"{max(lengths):.1f}"
    return f"{high} s" if low == high else f"{low} to {high} s"


def _sampling(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    if not (a.has_profile and b.has_profile):
        return
    before, after = a.profiles[0].info, b.profiles[0].info
    if (before.event, before.unit) != (after.event, after.unit):
        message = f"The sampled events differ: {before.event or '?'} and {after.event or '?'}."
        yield ComparabilityWarning("samples", message, before.event, after.event)


def _symbols(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    if not (a.has_profile and b.has_profile):
        return
    for aspect, samples, shares in (
        ("unsymbolized frames", "samples in unsymbolized code", [_unsymbolized_share(side) for side in (a, b)]),
        ("truncated stacks", "samples with a truncated stack", [_share(side, "truncated") for side in (a, b)]),
        ("lost samples", "lost samples", [_share(side, "lost") for side in (a, b)]),
    ):
        if abs(shares[0] - shares[1]) >= _QUALITY:
            left, right = (f"{100 * share:.1f} %" for share in shares)
            message = f"The shares of {samples} differ: {left} and {right}. Stacks may differ for this reason."
            yield ComparabilityWarning(aspect, message, left, right)


def _unsymbolized_share(side: Side) -> float:
    total = sum(profile.total for profile in side.profiles)
    return sum(profile.unsymbolized_share * profile.total for profile in side.profiles) / total if total else 0.0


def _share(side: Side, field: str) -> float:
    samples = sum(profile.count for profile in side.profiles)
    return sum(getattr(profile.info, field) for profile in side.profiles) / samples if samples else 0.0


def _incomplete(a: Side, b: Side) -> Iterator[ComparabilityWarning]:
    for side in (a, b):
        for run in side.runs:
            for sentence in _dropped_and_unavailable(run.info):
                yield ComparabilityWarning("incomplete", f"{side.name}: {sentence}.", "", "")


def _dropped_and_unavailable(info: RunInfo) -> list[str]:
    return [sentence.rstrip(".") for sentence in (*info.dropped, *info.unavailable)]


# ---- Skipped ----


def skipped(a: Side, b: Side) -> Iterator[str]:
    """Groups of metrics that are not compared because a side does not have them: missing data are not 0."""
    groups = list(needed_by_group())
    missing_in_both = [group for group in groups if not (_has(a, group) or _has(b, group))]
    without_intervals = [side.name for side in (a, b) if not side.has("intervals")]
    if without_intervals:
        yield f"Skipped {', '.join(groups)}: {_who_lacks(without_intervals)} table intervals (every recording)"
    elif missing_in_both and a.run.imported and b.run.imported:
        yield f"Skipped {', '.join(missing_in_both)}: in neither of the imported Runs"
        yield from _missing_tables(a, b, [group for group in groups if group not in missing_in_both])
    else:
        yield from _missing_tables(a, b, groups)
    yield from _missing_in_one(a, b)
    yield from _rates(a, b)


def _who_lacks(sides: list[str]) -> str:
    return "neither side has" if len(sides) == 2 else f"{sides[0]} has no"


def _missing_tables(a: Side, b: Side, groups: list[MetricGroup]) -> Iterator[str]:
    for group in groups:
        table, column = needed_by_group()[group]
        sides = [side.name for side in (a, b) if not _has(side, group)]
        if sides:
            missing = f"column {column.name} in table {table.name}" if column.optional else f"table {table.name}"
            yield f"Skipped {group}: {_who_lacks(sides)} {missing} ({table.source})"


def _missing_in_one(a: Side, b: Side) -> Iterator[str]:
    """Tables that most Runs do not have are mentioned only if one side has them."""
    checks: tuple[tuple[str, Callable[[Side], bool], str], ...] = (
        ("failed calls", lambda side: side.has("syscall_errors"), "table syscall_errors (netprobe syscalls -x)"),
        ("load", has_load_results, "table load_rounds (netprobe bench)"),
    )
    for group, has, source in checks:
        sides = [side.name for side in (a, b) if not has(side)]
        if len(sides) == 1:
            yield f"Skipped {group}: {sides[0]} has no {source}"


def _rates(a: Side, b: Side) -> Iterator[str]:
    untimed = " and ".join(side.name for side in (a, b) if not side.timed)
    if untimed and (a.requests is None or b.requests is None):
        yield (
            f"Skipped all rates: neither the length of {untimed} (netprobe import -d SECONDS) nor the number of "
            "requests of both sides (--requests N) is known"
        )
    for side in (a, b):
        if side.only_most_frequent:
            yield f"Skipped calls that {side.name} does not list: it has only the most frequent calls"
    in_intervals = a.has("intervals") and b.has("intervals") and not a.series
    if in_intervals and min(a.repetitions, b.repetitions) < MIN_INTERVALS:
        yield f"All comparisons are inconclusive: fewer than {MIN_INTERVALS} time intervals have no known spread"


def _has(side: Side, group: MetricGroup) -> bool:
    table, column = needed_by_group()[group]
    return side.has_profile if group == "CPU time" else Source(table.name, column.name) in side.sources
