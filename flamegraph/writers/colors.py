"""Colours of frames, for light and dark pages, chosen to be distinguishable by colour-blind readers."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.frames import Frame, Kind
from flamegraph.verdicts import UnknownNoise, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.diff import Diff

    Bytes = npt.NDArray[np.uint8]
    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

SHADES = 5
"""Adjacent frames of one colour differ slightly in lightness, so that they stay distinguishable."""

# Hue in degrees, saturation and lightness in percent (light page, dark page). Hues after Okabe and Ito.
_KINDS: dict[Kind, tuple[int, tuple[int, int], tuple[int, int]]] = {
    Kind.USER: (35, (86, 73), (60, 32)),
    Kind.KERNEL: (210, (72, 78), (52, 38)),
    Kind.JIT: (163, (46, 67), (52, 25)),
    Kind.INLINED: (318, (52, 83), (34, 38)),
    Kind.UNKNOWN: (220, (4, 80), (3, 35)),
}
_BASE = (220, (14, 88), (12, 26))
_STEP = {"light": 2.2, "dark": 1.6}

# Luminance at which the text colour (#1b1f27 on light, #eef1f6 on dark) has a contrast of 4.6.
_LIGHTEST_NEEDED, _DARKEST_NEEDED = 0.243, 0.151

# First and last hue, saturation: the palettes of flamegraph.pl, with the lightness of this page.
_PALETTES: dict[str, tuple[int, int, int]] = {
    "hot": (2, 52, 88),
    "mem": (120, 170, 50),
    "io": (205, 250, 60),
    "aqua": (175, 195, 60),
    "orange": (24, 38, 90),
    "red": (352, 368, 80),
    "green": (95, 135, 52),
    "blue": (205, 225, 75),
    "yellow": (46, 58, 85),
    "purple": (270, 300, 50),
}


def palette(colors: str) -> dict[str, list[str]]:
    """Colours of the `light` and the `dark` page by the numbers of `numbers`."""
    if colors == "kind":
        rows = [*_KINDS.values(), _BASE]
        return {
            theme: [
                to_hex(hue, tone[0], tone[1] + (shade - SHADES // 2) * _STEP[theme])
                for hue, *tones in rows
                for tone in (tones[theme == "dark"],)
                for shade in range(SHADES)
            ]
            for theme in ("light", "dark")
        }
    first, last, saturation = _hues(colors)
    steps = (len(Kind) + 1) * SHADES - 1
    hues = [first + (last - first) * step / steps for step in range(steps + 1)]
    return {
        "light": [_legible(hue, saturation, 72 - (step * 7 % 12), +1) for step, hue in enumerate(hues)],
        "dark": [_legible(hue, saturation * 0.6, 36 - (step * 7 % 12), -1) for step, hue in enumerate(hues)],
    }


def _legible(hue: float, saturation: float, lightness: float, step: int) -> str:
    """The colour, made lighter (+1) or darker (-1) until the contrast with text is 4.5."""
    color = to_hex(hue, saturation, lightness)
    while _luminance(color) < _LIGHTEST_NEEDED if step > 0 else _luminance(color) > _DARKEST_NEEDED:
        lightness += step
        color = to_hex(hue, saturation, lightness)
    return color


def _luminance(color: str) -> float:
    """Relative luminance, WCAG 2."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def numbers(frames: Sequence[Frame], bases: int, colors: str) -> Bytes:
    """Colour number of each frame; the last `bases` frames are threads and processes."""
    hashes = np.fromiter((crc32(frame.name.encode("utf-8", "replace")) for frame in frames), np.uint32, len(frames))
    if colors != "kind":
        _hues(colors)
        return (hashes % ((len(Kind) + 1) * SHADES)).astype(np.uint8)
    kinds = np.fromiter((frame.kind for frame in frames), np.int64, len(frames))
    kinds[len(frames) - bases :] = len(Kind)
    return (kinds * SHADES + hashes % SHADES).astype(np.uint8)


def legend(colors: str) -> dict[str, Any]:
    """Properties of the colours for the page."""
    return {"kinds": colors == "kind", "shades": SHADES}


def _hues(colors: str) -> tuple[int, int, int]:
    if colors not in _PALETTES:
        raise ProfileError(f"There is no palette {colors!r}.", hint=f"Use kind, {', '.join(_PALETTES)}.")
    return _PALETTES[colors]


def to_hex(hue: float, saturation: float, lightness: float) -> str:
    """`#rrggbb` from degrees and percent."""
    parts = colorsys.hls_to_rgb((hue % 360) / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


STRENGTHS = 3
# In the order of `Verdict`, three strengths each: hue, saturation, then lightness of the weakest and of the strongest
# on a light and on a dark page. The last two rows are tints by direction, where all changes are inconclusive.
_ROWS: tuple[tuple[int, int, tuple[int, int], tuple[int, int]], ...] = (
    (220, 6, (90, 90), (27, 27)),
    (24, 92, (82, 64), (27, 40)),
    (212, 80, (84, 66), (28, 44)),
    (345, 78, (70, 70), (40, 44)),
    (222, 62, (70, 64), (42, 48)),
    (270, 10, (84, 84), (33, 33)),
    (220, 5, (85, 85), (31, 31)),
    (24, 70, (90, 82), (27, 34)),
    (212, 60, (91, 83), (28, 37)),
)
MORE, LESS = 7, 8
_SCALE = (Verdict.GONE, Verdict.SHRUNK, Verdict.UNCHANGED, Verdict.NOISE, Verdict.GROWN, Verdict.NEW)


def diff_palette() -> dict[str, list[str]]:
    """Colours of the `light` and the `dark` page; row r with strength s is at `r * STRENGTHS + s`."""
    themes: dict[str, list[str]] = {"light": [], "dark": []}
    for hue, saturation, *tones in _ROWS:
        for theme, (weak, strong) in zip(themes, tones, strict=True):
            part = 1.0 if theme == "light" else 0.62
            themes[theme] += [
                to_hex(hue, saturation * part, weak + (strong - weak) * strength / (STRENGTHS - 1))
                for strength in range(STRENGTHS)
            ]
    return themes


def is_tinted(diff: Diff) -> bool:
    """Whether every change is inconclusive, so that the tint shows its direction."""
    return isinstance(diff.options.rule, UnknownNoise)


def diff_numbers(diff: Diff, verdict: Ints, before: Floats, after: Floats) -> Ints:
    """Colour number of each node."""
    row = verdict.astype(np.int64)
    if is_tinted(diff):
        undecided = row == Verdict.INCONCLUSIVE
        row[undecided & (after > before)] = MORE
        row[undecided & (after < before)] = LESS
    larger = np.maximum(before, after)
    part = np.divide(np.abs(after - before), larger, out=np.zeros_like(larger), where=larger > 0)
    found: Ints = row * STRENGTHS + (part > 0.25) + (part > 0.5)
    return found


def diff_legend(diff: Diff) -> list[tuple[int, str]]:
    """Row and text of each entry, from gone to new."""
    if not is_tinted(diff):
        return [(int(verdict), _entry(verdict)) for verdict in (*_SCALE, Verdict.INCONCLUSIVE)]
    undecided = Verdict.INCONCLUSIVE
    return [
        (int(Verdict.GONE), _entry(Verdict.GONE)),
        (LESS, f"{undecided.sign} less: {undecided.word}"),
        (int(Verdict.UNCHANGED), _entry(Verdict.UNCHANGED)),
        (MORE, f"{undecided.sign} more: {undecided.word}"),
        (int(Verdict.NEW), _entry(Verdict.NEW)),
    ]


def hatched() -> dict[int, int]:
    """Slope in degrees of the hatching by colour number."""
    rows = ((Verdict.GONE, -45), (Verdict.NEW, 90), (Verdict.INCONCLUSIVE, 45), (MORE, 45), (LESS, 45))
    return {row * STRENGTHS + strength: slope for row, slope in rows for strength in range(STRENGTHS)}


def _entry(verdict: Verdict) -> str:
    return f"{verdict.sign} {verdict.word}"
