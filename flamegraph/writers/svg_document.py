"""The SVG document: valid XML 1.0 for any names, with one group per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from flamegraph.writers.html_page import asset

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_ROW = 18
MARGIN = 12
# Advance width of a character in em, for common monospace fonts, rounded up.
_FONT, _ADVANCE = 11.5, 0.61
_LINE = 17


@dataclass(frozen=True)
class Drawing:
    """Nodes to draw: index, left edge and width in pixels, level; and all texts, sanitized."""

    nodes: Ints
    at: Floats
    width: Floats
    depth: Ints
    skipped: int
    skipped_share: float
    min_width: float
    title: str
    details: str
    notes: list[str]
    labels: list[str]
    colors: Ints
    palette: dict[str, list[str]]
    legend: list[tuple[int, str]]
    detail: Callable[[int], str]
    unit: str
    hatched: dict[int, int] = field(default_factory=dict)
    """Slope in degrees of the hatching by colour number."""


def document(drawing: Drawing, width: int, inverted: bool) -> str:
    """The whole file."""
    full = width + 2 * MARGIN
    lines = _text_lines(drawing, width)
    top = 46 + _LINE * len(lines)
    rows = int(drawing.depth.max(initial=0)) + 1
    height = top + rows * _ROW + 12 + _legend_height(drawing, width) + _LINE + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{full}" height="{height}" viewBox="0 0 {full} {height}" '
        f'role="img" aria-labelledby="picture-title" data-left="{MARGIN}" data-wide="{width}" '
        f'data-advance="{_FONT * _ADVANCE}">',
        f'<title id="picture-title">{escape(drawing.title)}</title>',
        f"<style>{_style(drawing)}</style>",
        f"<defs>{''.join(_patterns(drawing))}</defs>",
        f'<rect class="paper" width="{full}" height="{height}"/>',
        f'<text class="heading" x="{MARGIN}" y="28">{escape(_cut(drawing.title, width - 190, 9.5))}</text>',
        *(f'<text class="soft" x="{MARGIN}" y="{48 + _LINE * at}">{escape(line)}</text>' for at, line in lines),
        f'<g id="frames">{"".join(_frames(drawing, top, rows, inverted))}</g>',
        *_legend(drawing, top + rows * _ROW + 12, width),
        f'<text id="status" class="soft" x="{MARGIN}" y="{height - 10}"> </text>',
        f'<g id="tools" class="tools" visibility="hidden"><text id="back" x="{full - 130}" y="28" text-anchor="end" '
        f'visibility="hidden">Reset zoom</text><text id="search" x="{full - MARGIN}" y="28" text-anchor="end">'
        "Search</text></g>",
        f"<script>{escape(asset('svg.js'))}</script>",
        "</svg>\n",
    ]
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(parts)


def _text_lines(drawing: Drawing, width: int) -> list[tuple[int, str]]:
    sentences = [drawing.details, *drawing.notes]
    if drawing.skipped:
        frames, are = ("frame", "is") if drawing.skipped == 1 else ("frames", "are")
        sentences.append(
            f"{drawing.skipped:,} {frames} narrower than {drawing.min_width:g} pixels {are} not drawn:"
            f" {drawing.skipped_share:.2%} of the width."
        )
    room = max(int(width / 6.6), 20)
    return list(enumerate(line for sentence in sentences for line in wrap(sentence, room)))


def _frames(drawing: Drawing, top: int, rows: int, inverted: bool) -> Iterator[str]:
    columns = (drawing.nodes, drawing.at, drawing.width, drawing.depth)
    for node, at, width, depth in zip(*(column.tolist() for column in columns), strict=True):
        y = top + (depth if inverted else rows - 1 - depth) * _ROW
        name = drawing.labels[node]
        text = _cut(name, width - 7, _FONT * _ADVANCE)
        label = f'<text x="{MARGIN + at + 4:.2f}" y="{y + 12.5}">{escape(text)}</text>' if text else ""
        edge = 'class="wide" ' if width > 3 else ""
        yield (
            f'<g class="c{drawing.colors[node]}"><title>{escape(name)}\n{escape(drawing.detail(node))}</title>'
            f'<rect {edge}x="{MARGIN + at:.2f}" y="{y}" width="{max(width, 0.01):.2f}" height="{_ROW - 1}"/>'
            f"{label}</g>\n"
        )


def _cut(text: str, room: float, advance: float) -> str:
    fits = int(room / advance)
    if len(text) <= fits:
        return text
    return f"{text[: fits - 1].rstrip()}…" if fits > 2 else ""


def _style(drawing: Drawing) -> str:
    used = sorted(
        {int(drawing.colors[node]) for node in drawing.nodes.tolist()} | {number for number, _ in drawing.legend}
    )
    themes = {theme: "".join(_fill(number, drawing, theme) for number in used) for theme in ("light", "dark")}
    return asset("svg.css").replace("/*light*/", themes["light"]).replace("/*dark*/", themes["dark"])


def _fill(number: int, drawing: Drawing, theme: str) -> str:
    color = drawing.palette[theme][number]
    if number not in drawing.hatched:
        return f".c{number} rect{{fill:{color}}}"
    # An outline of the plain colour keeps the hatching away from the text.
    halo = f".c{number} text{{stroke:{color};stroke-width:4px;paint-order:stroke}}.key.c{number} text{{stroke:none}}"
    return f"#h{number} rect{{fill:{color}}}.c{number} rect{{fill:url(#h{number})}}{halo}"


def _patterns(drawing: Drawing) -> Iterator[str]:
    for number, slope in drawing.hatched.items():
        yield (
            f'<pattern id="h{number}" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate({slope})"><rect width="6" height="6"/>'
            '<path class="hatch" d="M0 0V6"/></pattern>'
        )


def _places(drawing: Drawing, width: int) -> Iterator[tuple[int, int, int, str]]:
    """Left edge, line, colour number and text of each legend entry."""
    left, line = 0, 0
    for number, text in drawing.legend:
        need = 22 + int(len(text) * 7) + 18
        if left and left + need > width:
            left, line = 0, line + 1
        yield left, line, number, text
        left += need


def _legend_height(drawing: Drawing, width: int) -> int:
    lines = [line for _, line, _, _ in _places(drawing, width)]
    return 20 * (max(lines) + 1) if lines else 0


def _legend(drawing: Drawing, top: int, width: int) -> Iterator[str]:
    for left, line, number, text in _places(drawing, width):
        x, y = MARGIN + left, top + 20 * line
        yield (
            f'<g class="key c{number}"><rect x="{x}" y="{y}" width="13" height="13" rx="3"/>'
            f'<text x="{x + 19}" y="{y + 11}">{escape(text)}</text></g>'
        )
