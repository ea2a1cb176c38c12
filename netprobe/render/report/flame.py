"""The flame graph's own page inside the report: a frame that can touch nothing around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netprobe.render.report.html import Html

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile

_HEIGHT = 720


def frame_of(profile: Profile) -> Html:
    """Of one Run."""
    from flamegraph.writers.html import render
    from flamegraph.writers.options import WriteOptions

    return _framed(render(profile, WriteOptions(inverted=True, title="Stacks")))


def frame_of_diff(diff: Diff) -> Html:
    """Of two Runs."""
    from flamegraph.writers.html import render_diff
    from flamegraph.writers.options import WriteOptions

    return _framed(render_diff(diff, WriteOptions(inverted=True)))


def _framed(page: bytes) -> Html:
    from flamegraph.writers.page import framed

    # Far down the page: drawn when it comes near.
    return Html(framed(page.decode(), _HEIGHT).replace("<iframe ", '<iframe class="flame" loading="lazy" ', 1))


def script_policy(html: str) -> set[str]:
    """Hashes of the scripts of such frames: a frame without an address of its own is under the page's policy too."""
    return set(re.findall(r"script-src &#x27;(sha256-[0-9A-Za-z+/=]+)&#x27;", html))
