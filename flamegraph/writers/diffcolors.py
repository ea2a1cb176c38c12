"""Colours of a diff's boxes, by what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flamegraph.verdicts import NothingKnown, Verdict
from flamegraph.writers.colors import to_hex

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.diff import Diff

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

STRENGTHS = 3
# In the order of `Verdict`, three strengths each: hue, saturation, then lightness of the weakest and of the strongest
# on a light and on a dark page. The last two are of boxes that lean, where nothing can be told of any.
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


def palette() -> dict[str, list[str]]:
    """`light` and `dark`: the colour of row r with strength s at `r * STRENGTHS + s`."""
    found: dict[str, list[str]] = {"light": [], "dark": []}
    for hue, saturation, *tones in _ROWS:
        for theme, (weak, strong) in zip(found, tones, strict=True):
            part = 1.0 if theme == "light" else 0.62
            found[theme] += [
                to_hex(hue, saturation * part, weak + (strong - weak) * strength / (STRENGTHS - 1))
                for strength in range(STRENGTHS)
            ]
    return found


def leans(diff: Diff) -> bool:
    """Whether nothing can be told of what both sides have, so that only the direction is shown."""
    return isinstance(diff.options.judge, NothingKnown)


def numbers(diff: Diff, verdict: Ints, before: Floats, after: Floats) -> Ints:
    """The colour of each box."""
    row = verdict.astype(np.int64)
    if leans(diff):
        untold = row == Verdict.CANNOT_TELL
        row[untold & (after > before)] = MORE
        row[untold & (after < before)] = LESS
    larger = np.maximum(before, after)
    part = np.divide(np.abs(after - before), larger, out=np.zeros_like(larger), where=larger > 0)
    found: Ints = row * STRENGTHS + (part > 0.25) + (part > 0.5)
    return found


def legend(diff: Diff) -> list[tuple[int, str]]:
    """Row and text of each entry, from gone to new."""
    if not leans(diff):
        return [(int(one), _told(one)) for one in (*_SCALE, Verdict.CANNOT_TELL)]
    untold = Verdict.CANNOT_TELL
    return [
        (int(Verdict.GONE), _told(Verdict.GONE)),
        (LESS, f"{untold.sign} less: {untold.word}"),
        (int(Verdict.UNCHANGED), _told(Verdict.UNCHANGED)),
        (MORE, f"{untold.sign} more: {untold.word}"),
        (int(Verdict.NEW), _told(Verdict.NEW)),
    ]


def hatched() -> dict[int, int]:
    """Colours that are hatched, and the slope of the lines in degrees."""
    rows = ((Verdict.GONE, -45), (Verdict.NEW, 90), (Verdict.CANNOT_TELL, 45), (MORE, 45), (LESS, 45))
    return {row * STRENGTHS + strength: slope for row, slope in rows for strength in range(STRENGTHS)}


def _told(verdict: Verdict) -> str:
    return f"{verdict.sign} {verdict.word}"
