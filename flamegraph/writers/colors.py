"""Colours of boxes, for light and dark pages, chosen to be told apart by colour-blind readers."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from flamegraph.errors import ProfileError
from flamegraph.frames import Frame, Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

SHADES = 5
"""Neighbours of one colour differ a little in lightness, so that they do not run together."""

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

# Luminance at which the page's ink, #1b1f27 on light and #eef1f6 on dark, has a contrast of 4.6.
_LIGHTEST_NEEDED, _DARKEST_NEEDED = 0.243, 0.151

# First and last hue, saturation: the names and moods of flamegraph.pl, in this page's lightness.
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
    """`light` and `dark`: a colour for each number that `numbers` gives."""
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
    """The colour, made lighter (+1) or darker (-1) until text can be read on it at a contrast of 4.5."""
    color = to_hex(hue, saturation, lightness)
    while _luminance(color) < _LIGHTEST_NEEDED if step > 0 else _luminance(color) > _DARKEST_NEEDED:
        lightness += step
        color = to_hex(hue, saturation, lightness)
    return color


def _luminance(color: str) -> float:
    """Relative luminance as WCAG 2 has it."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def numbers(frames: Sequence[Frame], bases: int, colors: str) -> Bytes:
    """The colour of each frame; the last `bases` frames are threads and processes."""
    hashes = np.fromiter((crc32(frame.name.encode("utf-8", "replace")) for frame in frames), np.uint32, len(frames))
    if colors != "kind":
        _hues(colors)
        return (hashes % ((len(Kind) + 1) * SHADES)).astype(np.uint8)
    kinds = np.fromiter((frame.kind for frame in frames), np.int64, len(frames))
    kinds[len(frames) - bases :] = len(Kind)
    return (kinds * SHADES + hashes % SHADES).astype(np.uint8)


def legend(colors: str) -> dict[str, Any]:
    """What the page says about its colours."""
    return {"kinds": colors == "kind", "shades": SHADES}


def _hues(colors: str) -> tuple[int, int, int]:
    if colors not in _PALETTES:
        raise ProfileError(f"There is no palette {colors!r}.", hint=f"Use kind, {', '.join(_PALETTES)}.")
    return _PALETTES[colors]


def to_hex(hue: float, saturation: float, lightness: float) -> str:
    """`#rrggbb`, of degrees and percents."""
    parts = colorsys.hls_to_rgb((hue % 360) / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)
