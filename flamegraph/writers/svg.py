"""An SVG that stands alone: for tickets and blogs. Zoom and search where scripts run, a fine picture where not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flamegraph.writers.options import WriteOptions
from flamegraph.writers.svgbody import MARGIN, Drawing, document
from flamegraph.writers.svgdata import of_diff, of_profile

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile

SUFFIXES = (".svg",)
_NARROWEST = 320


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The picture of a profile."""
    inside = _inside(options)
    return _drawn(of_profile(profile, inside), inside)


def render_diff(diff: Diff, options: WriteOptions) -> bytes:
    """The picture of a diff: each box as wide as the larger of its two sides."""
    inside = _inside(options)
    return _drawn(of_diff(diff, inside), inside)


def _inside(options: WriteOptions) -> WriteOptions:
    """What is left for the boxes: the width that was asked for is the picture's, with its margins."""
    return replace(options, width=max(options.width, _NARROWEST) - 2 * MARGIN)


def _drawn(drawing: Drawing, options: WriteOptions) -> bytes:
    return document(drawing, options.width, options.inverted).encode()
