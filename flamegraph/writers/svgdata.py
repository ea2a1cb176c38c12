"""What an SVG shows: boxes with their texts, from a profile or a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from flamegraph.verdicts import Verdict
from flamegraph.writers import colors, diffcolors
from flamegraph.writers.boxes import arranged, from_the_leaf, prune, starts, totals
from flamegraph.writers.facts import diff_facts, facts, notes
from flamegraph.writers.options import WriteOptions
from flamegraph.writers.shown import labels, shown
from flamegraph.writers.svgbody import Drawing

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile
    from flamegraph.tree import Tree

    Floats = np.typing.NDArray[np.float64]

_KIND_WORDS = {
    Kind.USER: "user",
    Kind.KERNEL: "kernel",
    Kind.JIT: "JIT",
    Kind.INLINED: "inlined",
    Kind.UNKNOWN: "unknown",
}


def of_profile(profile: Profile, options: WriteOptions) -> Drawing:
    """Boxes, colours and texts of a profile."""
    turned = from_the_leaf(profile, options.root) if options.reverse else profile
    tree, _ = arranged(turned.tree("none" if options.reverse else options.root))
    own = tree.own(profile.samples.weight)
    total = totals(tree, own)
    bases = len(tree.frames) - len(profile.frames)
    hues = np.concatenate(([len(Kind) * colors.SHADES + 2], colors.numbers(tree.frames, bases, options.colors)))
    names = ["all", *labels(tree.frames, options)]
    unit, whole = shown(profile.info.unit), float(total[0]) or 1.0

    def detail(box: int) -> str:
        weight, self_weight = float(total[box]), float(own[box])
        return (
            f"{weight:,.0f} {unit}, {weight / whole:.2%} of all\n"
            f"self {self_weight:,.0f} {unit}, {self_weight / whole:.2%}"
        )

    used = sorted({frame.kind for frame in profile.frames})
    return _drawing(
        tree,
        total,
        options,
        title=shown(options.title or profile.info.title or "Flame graph"),
        facts=_sentence(facts(profile)),
        notes=notes(profile),
        labels=[names[frame + 1] for frame in tree.frame.tolist()],
        colors=hues[tree.frame + 1],
        palette=colors.palette(options.colors),
        legend=[(kind * colors.SHADES + 2, _KIND_WORDS[kind]) for kind in used] if options.colors == "kind" else [],
        detail=detail,
        unit=unit,
    )


def of_diff(diff: Diff, options: WriteOptions) -> Drawing:
    """Boxes, verdicts and texts of a diff."""
    tree, place = arranged(diff.tree)
    back = np.argsort(place)
    a, b, own_a, own_b = (
        rate[back] for rate in (diff.rate_a(), diff.rate_b(), diff.rate_a(own=True), diff.rate_b(own=True))
    )
    verdict = diff.verdict[back].astype(np.int64)
    names, unit = ["all", *labels(tree.frames, options)], shown(diff.denominator.unit)
    signs = [found.sign for found in Verdict]

    def detail(box: int) -> str:
        return (
            f"{Verdict(int(verdict[box])).word}: {_change(float(a[box]), float(b[box]), unit)}\n"
            f"self {_change(float(own_a[box]), float(own_b[box]), unit)}\n{shown(diff.denominator.text)}"
        )

    return _drawing(
        tree,
        totals(tree, np.maximum(own_a, own_b)),
        options,
        title=shown(options.title or f"{diff.a.name} → {diff.b.name}"),
        facts=_sentence(diff_facts(diff)),
        notes=[
            shown(diff.denominator.text) + " A box is as wide as the larger of its two sides.",
            *(shown(note) for note in diff.notes),
        ],
        labels=[f"{signs[verdict[box]]} {names[frame + 1]}" for box, frame in enumerate(tree.frame.tolist())],
        colors=diffcolors.numbers(diff, verdict, a, b),
        palette=diffcolors.palette(),
        legend=[(row * diffcolors.STRENGTHS + 2, text) for row, text in diffcolors.legend(diff)],
        hatched=diffcolors.hatched(),
        detail=detail,
        unit=unit,
    )


def _drawing(tree: Tree, width: Floats, options: WriteOptions, **texts: object) -> Drawing:
    scale = max(options.width, 320) / (float(width[0]) or 1.0)
    pruned = prune(tree, width, options.min_width / scale)
    kept = np.flatnonzero(pruned.keep)
    return Drawing(
        boxes=kept,
        at=starts(tree, width)[kept] * scale,
        width=width[kept] * scale,
        depth=tree.depth[kept],
        skipped=pruned.boxes,
        left_out_share=pruned.weight / (float(width[0]) or 1.0),
        min_width=options.min_width,
        **texts,  # type: ignore[arg-type]
    )


def _change(before: float, after: float, unit: str) -> str:
    text = f"{before:.4g} → {after:.4g} {unit}, {after - before:+.4g} {'points' if unit == '%' else unit}"
    return f"{text}, {(after - before) / before:+.1%} of the frame" if before and after else text


def _sentence(found: list[tuple[str, str, bool]]) -> str:
    return "  ·  ".join(f"{label} {value}" for label, value, _ in found)
