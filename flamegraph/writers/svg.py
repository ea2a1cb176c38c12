"""A self-contained SVG file, for tickets and blogs: zoom and search where scripts run, else a static picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from flamegraph.tree import build
from flamegraph.verdicts import Verdict
from flamegraph.writers import WriteOptions, colors
from flamegraph.writers.labels import diff_details, labels, notes, recording_details, sanitized
from flamegraph.writers.layout import arranged, prune, reversed_stacks, starts, totals
from flamegraph.writers.svg_document import MARGIN, Drawing, document

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile
    from flamegraph.tree import Tree

    Floats = np.typing.NDArray[np.float64]

SUFFIXES = (".svg",)
_MIN_WIDTH = 320


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The picture of a profile."""
    inside = _inside(options)
    return _drawn(of_profile(profile, inside), inside)


def render_diff(diff: Diff, options: WriteOptions) -> bytes:
    """The picture of a diff: each frame as wide as the larger of its two sides."""
    inside = _inside(options)
    return _drawn(of_diff(diff, inside), inside)


def _inside(options: WriteOptions) -> WriteOptions:
    """The options with the width of the frames: that of the picture without its margins."""
    return replace(options, width=max(options.width, _MIN_WIDTH) - 2 * MARGIN)


def _drawn(drawing: Drawing, options: WriteOptions) -> bytes:
    return document(drawing, options.width, options.inverted).encode()


_KIND_LABELS = {
    Kind.USER: "user",
    Kind.KERNEL: "kernel",
    Kind.JIT: "JIT",
    Kind.INLINED: "inlined",
    Kind.UNKNOWN: "unsymbolized",
}


def of_profile(profile: Profile, options: WriteOptions) -> Drawing:
    """Frames, colours and texts of a profile."""
    drawn = reversed_stacks(profile, options.root) if options.reverse else profile
    tree, _ = arranged(build(drawn, "none" if options.reverse else options.root))
    self_weights = tree.self_weight(profile.samples.weight)
    total = totals(tree, self_weights)
    bases = len(tree.frames) - len(profile.frames)
    hues = np.concatenate(([len(Kind) * colors.SHADES + 2], colors.numbers(tree.frames, bases, options.colors)))
    names = ["all", *labels(tree.frames, options)]
    unit, whole = sanitized(profile.info.unit), float(total[0]) or 1.0

    def detail(node: int) -> str:
        weight, self_weight = float(total[node]), float(self_weights[node])
        return (
            f"{weight:,.0f} {unit}, {weight / whole:.2%} of all\n"
            f"self {self_weight:,.0f} {unit}, {self_weight / whole:.2%}"
        )

    used = sorted({frame.kind for frame in profile.frames})
    return _drawing(
        tree,
        total,
        options,
        title=sanitized(options.title or profile.info.title or "Flame graph"),
        details=_sentence(recording_details(profile)),
        notes=notes(profile),
        labels=[names[frame + 1] for frame in tree.frame.tolist()],
        colors=hues[tree.frame + 1],
        palette=colors.palette(options.colors),
        legend=[(kind * colors.SHADES + 2, _KIND_LABELS[kind]) for kind in used] if options.colors == "kind" else [],
        detail=detail,
        unit=unit,
    )


def of_diff(diff: Diff, options: WriteOptions) -> Drawing:
    """Frames, verdicts and texts of a diff."""
    tree, place = arranged(diff.tree)
    back = np.argsort(place)
    a, b, self_a, self_b = (
        rate[back] for rate in (diff.rate_a(), diff.rate_b(), diff.rate_a(self_only=True), diff.rate_b(self_only=True))
    )
    verdict = diff.verdict[back].astype(np.int64)
    names, unit = ["all", *labels(tree.frames, options)], sanitized(diff.normalization.unit)
    signs = [found.sign for found in Verdict]

    def detail(node: int) -> str:
        return (
            f"{Verdict(int(verdict[node])).word}: {_change(float(a[node]), float(b[node]), unit)}\n"
            f"self {_change(float(self_a[node]), float(self_b[node]), unit)}\n{sanitized(diff.normalization.text)}"
        )

    return _drawing(
        tree,
        totals(tree, np.maximum(self_a, self_b)),
        options,
        title=sanitized(options.title or f"{diff.a.name} → {diff.b.name}"),
        details=_sentence(diff_details(diff)),
        notes=[
            sanitized(diff.normalization.text) + " A frame is as wide as the larger of its two sides.",
            *(sanitized(note) for note in diff.notes),
        ],
        labels=[f"{signs[verdict[node]]} {names[frame + 1]}" for node, frame in enumerate(tree.frame.tolist())],
        colors=colors.diff_numbers(diff, verdict, a, b),
        palette=colors.diff_palette(),
        legend=[(row * colors.STRENGTHS + 2, text) for row, text in colors.diff_legend(diff)],
        hatched=colors.hatched(),
        detail=detail,
        unit=unit,
    )


def _drawing(tree: Tree, width: Floats, options: WriteOptions, **texts: object) -> Drawing:
    scale = max(options.width, 320) / (float(width[0]) or 1.0)
    pruned = prune(tree, width, options.min_width / scale)
    kept = np.flatnonzero(pruned.keep)
    return Drawing(
        nodes=kept,
        at=starts(tree, width)[kept] * scale,
        width=width[kept] * scale,
        depth=tree.depth[kept],
        skipped=pruned.skipped,
        skipped_share=pruned.weight / (float(width[0]) or 1.0),
        min_width=options.min_width,
        **texts,  # type: ignore[arg-type]
    )


def _change(before: float, after: float, unit: str) -> str:
    text = f"{before:.4g} → {after:.4g} {unit}, {after - before:+.4g} {'points' if unit == '%' else unit}"
    return f"{text}, {(after - before) / before:+.1%} of the frame" if before and after else text


def _sentence(found: list[tuple[str, str, bool]]) -> str:
    return "  ·  ".join(f"{label} {value}" for label, value, _ in found)
