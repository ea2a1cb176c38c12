"""Are two recordings comparable? What differs between them other than what was measured, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netprobe.analysis.compare.sides import Side

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
    """All that differs, the most disturbing first."""
    found = [*_host(a, b), *_programs(a, b), *_probes(a, b), *_threads(a, b), *_load(a, b), *_length(a, b)]
    return [*found, *_sampling(a, b), *_symbols(a, b), *_missed(a, b)]


_HOST = (
    ("hostname", "host", "The recordings are of two machines"),
    ("cpu_model", "CPU", "The processors differ"),
    ("architecture", "architecture", "The architectures differ"),
    ("kernel", "kernel", "The kernels differ"),
    ("kernel_version", "kernel build", "The kernels are of the same release but of different builds"),
    ("cpus_online", "CPUs", "Not the same CPUs were online"),
)


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
        parts = [f"only A has {' '.join(gone)}"] * bool(gone) + [f"only B has {' '.join(new)}"] * bool(new)
        yield Difference("boot parameters", f"The boot parameters differ: {'; '.join(parts)}.", before, after)


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
        words = f"Not the same programs ran: only in A {left or 'none'}, only in B {right or 'none'}."
        yield Difference("program", words, left, right)


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
        parts = [f"only A has {left}"] * bool(left) + [f"only B has {right}"] * bool(right)
        words = f"Not the same was recorded: {', '.join(parts)}; what both have is compared."
        yield Difference("probes", words, left, right)
    ways = [side.run.info.get("ways", {}) for side in (a, b)]
    for what in sorted(ways[0].keys() & ways[1].keys()):
        left, right = ways[0][what], ways[1][what]
        if left != right:
            yield Difference("way of measuring", f"{what}: by {left} and by {right}.", left, right)


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
    if a.requests is None or b.requests is None:
        if a.requests is not b.requests:
            which = "A" if a.requests is None else "B"
            yield Difference("load", f"How many requests {which} served is not known.", "?", "?")
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
    elif abs(a.seconds - b.seconds) > _LENGTH * max(a.seconds, b.seconds):
        words = f"The recordings are not equally long: {a.seconds:.1f} s and {b.seconds:.1f} s."
        yield Difference("length", words, f"{a.seconds:.1f} s", f"{b.seconds:.1f} s")
    if a.run.light != b.run.light:
        which, other = ("A", "B") if a.run.light else ("B", "A")
        words = f"{which} was recorded with --light: netprobe slowed down the server of {other} more."
        yield Difference("light", words, *("light" if side.run.light else "in full" for side in (a, b)))


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


def _missed(a: Side, b: Side) -> Iterator[Difference]:
    for side in (a, b):
        for run in side.runs:
            for sentence in _sentences(run.info):
                yield Difference("not complete", f"{side.name}: {sentence}.", "", "")


def _sentences(info: Mapping[str, Any]) -> list[str]:
    return [str(sentence).rstrip(".") for sentence in (*info.get("missed", ()), *info.get("unavailable", ()))]
