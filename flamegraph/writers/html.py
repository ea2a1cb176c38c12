"""One self-contained HTML file: canvas, zoom, search, threads, time, and a table of the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.frames import Frame
from flamegraph.names import fold_names
from flamegraph.tree import build, root_name
from flamegraph.verdicts import Verdict
from flamegraph.writers import WriteOptions, colors
from flamegraph.writers.html_page import framed, packed, page
from flamegraph.writers.labels import diff_details, labels, notes, recording_details, sanitized
from flamegraph.writers.layout import arranged, reversed_stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flamegraph.diff import Diff
    from flamegraph.profile import Profile

SUFFIXES = (".html",)
_RISING = frozenset({"parent", "leaf"})
_FRAME_HEIGHT = 640


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The page of a profile."""
    return _page(profile, options).encode()


def render_diff(diff: Diff, options: WriteOptions) -> bytes:
    """The page of a diff."""
    tree, place = arranged(diff.tree)
    back = np.argsort(place)
    title = options.title or f"{diff.a.name} → {diff.b.name}"
    header = {
        **_header(title, options, tree.frames),
        "unit": sanitized(diff.both.info.unit),
        "details": diff_details(diff),
        "notes": [sanitized(note) for note in diff.notes],
        "palette": colors.diff_palette(),
        "diff": {
            "names": [sanitized(diff.a.name), sanitized(diff.b.name)],
            "divisors": [diff.a.divisor, diff.b.divisor],
            "per": diff.normalization.per,
            "unit": sanitized(diff.normalization.unit),
            "text": sanitized(diff.normalization.text),
            "rule": str(diff.options.rule),
            "verdicts": [verdict.word for verdict in Verdict],
            "signs": [verdict.sign for verdict in Verdict],
            "tints": [colors.MORE, colors.LESS] if colors.is_tinted(diff) else [],
            "legend": colors.diff_legend(diff),
            "counted": diff.a.self_samples is not None,
        },
    }
    arrays = {
        **_frame_arrays(tree.frames, len(tree.frames) - len(diff.both.frames), "kind"),
        "parent": np.maximum(tree.parent, 0),
        "frame": tree.frame + 1,
        "selfA": diff.a.self_weight[back],
        "selfB": diff.b.self_weight[back],
        "verdict": diff.verdict[back],
        "selfVerdict": diff.self_verdict[back],
    }
    if diff.a.self_samples is not None and diff.b.self_samples is not None:
        arrays |= {"samplesA": diff.a.self_samples[back], "samplesB": diff.b.self_samples[back]}
    return page(title, packed(header, arrays, _RISING)).encode()


def embedded(profile: Profile) -> str:
    """The page for a cell of a notebook: an iframe without access to the notebook."""
    return framed(_page(profile, WriteOptions(inverted=True)), _FRAME_HEIGHT)


def _page(profile: Profile, options: WriteOptions) -> str:
    title = options.title or profile.info.title or "Flame graph"
    drawn = reversed_stacks(profile, options.root) if options.reverse else profile
    tree, _ = arranged(build(drawn, "none" if options.reverse else options.root))
    frames = [*tree.frames, *_folded_bases(profile, options.root)]
    first_base = len(profile.frames)
    header = {
        **_header(title, options, frames),
        "unit": sanitized(profile.info.unit),
        "details": recording_details(profile),
        "notes": notes(profile),
        "palette": colors.palette(options.colors),
        "seconds": profile.info.seconds,
        "intervalSeconds": profile.info.interval_s,
        "intervals": max(profile.info.intervals, int(profile.samples.interval.max(initial=0)) + 1),
        "counted": profile.count > 0,
        **_threads(profile, options.root, first_base, frames),
    }
    samples = profile.samples
    order = np.argsort(tree.leaf, kind="stable")
    arrays = {
        **_frame_arrays(frames, len(frames) - first_base, options.colors),
        "parent": np.maximum(tree.parent, 0),
        "frame": tree.frame + 1,
        "leaf": tree.leaf[order],
        "thread": samples.thread[order],
        "interval": samples.interval[order],
        "weight": samples.weight[order],
    }
    if not np.array_equal(samples.weight, samples.count):
        arrays["count"] = samples.count[order]
    return page(title, packed(header, arrays, _RISING))


def _header(title: str, options: WriteOptions, frames: Sequence[Frame]) -> dict[str, Any]:
    modules = list(dict.fromkeys(frame.module for frame in frames))
    return {
        "title": sanitized(title),
        "inverted": options.inverted,
        "reverse": options.reverse,
        "minWidth": options.min_width,
        "names": ["all", *labels(frames, options)],
        "modules": [sanitized(module) for module in modules],
        **colors.legend(options.colors),
    }


def _frame_arrays(frames: Sequence[Frame], bases: int, palette: str) -> dict[str, Any]:
    """Module, kind and colour by frame, the root first; kind 5 is a process or thread."""
    modules = {module: number for number, module in enumerate(dict.fromkeys(frame.module for frame in frames))}
    kinds = np.array([5, *(frame.kind for frame in frames)], np.int64)
    kinds[len(kinds) - bases :] = 5
    hues = colors.numbers(frames, bases, palette)
    return {
        "module": np.array([0, *(modules[frame.module] for frame in frames)], np.int64),
        "kind": kinds,
        "color": np.concatenate(([5 * colors.SHADES + 2], hues)).astype(np.int64),
    }


def _folded_bases(profile: Profile, root: str) -> list[Frame]:
    """Base frames that exist only when numbered threads are merged."""
    if root == "none":
        return []
    existing = {root_name(thread, root) for thread in profile.threads}
    folded = {root_name(thread, root) for thread in profile.fold_threads().threads}
    return [Frame(name) for name in sorted(folded - existing)]


def _threads(profile: Profile, root: str, first_base: int, frames: list[Frame]) -> dict[str, Any]:
    """Threads with their folded names, and the folded base frame of each base frame."""
    folded = fold_names(thread.comm for thread in profile.threads)
    threads = [
        [sanitized(thread.comm), thread.pid, thread.tid, sanitized(folded[thread.comm])] for thread in profile.threads
    ]
    numbers = {frames[number].name: number + 1 for number in range(first_base, len(frames))}
    fold = {}
    if root != "none":
        for thread in profile.threads:
            name, folded_name = root_name(thread, root), root_name(thread._replace(comm=folded[thread.comm]), root)
            if name != folded_name:
                fold[name] = [numbers[name], numbers[folded_name]]
    return {"threads": threads, "fold": list(fold.values())}
