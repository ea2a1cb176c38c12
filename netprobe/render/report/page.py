"""One self-contained HTML file: text, style, scripts, plotly.js, chart data and flame graph."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from netprobe.render.figures.theme import SCALES, template
from netprobe.render.plotly_js import plotly_js
from netprobe.render.report.charts import Charts, Section
from netprobe.render.report.html import Html, element, join, text
from netprobe.version import __version__

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile

_SCRIPTS = ("data.js", "theme.js", "charts.js", "time.js", "print.js", "main.js")
_PLACEHOLDER = re.compile(r"\{\{[a-z]+\}\}")
# plotly sets style attributes, which cannot run scripts; the policy allows no request to any host.
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)
_FLAME_HEIGHT = 720


def page(title: str, top: Html, sections: Sequence[Section], charts: Charts) -> bytes:
    """The whole file. `top`: heading, verdict and findings."""
    body = join(_section(section) for section in sections)
    script, plotly = _script(), plotly_js() if charts.figures else ""
    hashes = [_digest(script), *([_digest(plotly)] if plotly else []), *sorted(_frame_script_hashes(body))]
    data = {"figures": charts.figures, "templates": {theme: template(theme) for theme in SCALES}, "scales": SCALES}
    parts = {
        "{{policy}}": _POLICY.format(scripts=" ".join(f"'{digest}'" for digest in hashes)),
        "{{title}}": text(title),
        "{{style}}": _asset("style.css"),
        "{{top}}": top,
        "{{nav}}": _nav(sections),
        "{{body}}": body,
        "{{version}}": text(__version__),
        "{{plotly}}": _packed(plotly),
        "{{data}}": _packed(_json(data)),
        "{{script}}": script,
    }
    # In one pass: a placeholder within inserted text is not replaced.
    return _PLACEHOLDER.sub(lambda match: parts[match[0]], _asset("page.html")).encode("utf-8")


def _section(section: Section) -> Html:
    return element(
        "section", element("h2", section.title, id=f"{section.anchor}-title"), section.body, id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )  # fmt: skip


def _nav(sections: Sequence[Section]) -> Html:
    links = [("findings", "Findings"), *((section.anchor, section.short or section.title) for section in sections)]
    return element("ul", *(element("li", element("a", title, href=f"#{anchor}")) for anchor, title in links))


def _json(data: Any) -> str:
    # JSON has no NaN; plotly draws null as a gap.
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _packed(data: str) -> str:
    """Compressed, as Base64, which cannot close an element."""
    return base64.b64encode(zlib.compress(data.encode("utf-8"), 9)).decode() if data else ""


@cache
def _script() -> str:
    parts = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _asset(name: str) -> str:
    return (files("netprobe.render.report") / "assets" / name).read_text("utf-8")


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


# ---- The flame graph: a page of its own in a sandboxed frame ----


def flame_frame(profile: Profile) -> Html:
    """The flame graph of a Run."""
    from flamegraph.writers import WriteOptions
    from flamegraph.writers.html import render

    return _frame(render(profile, WriteOptions(inverted=True, title="Stacks")))


def flame_diff_frame(diff: Diff) -> Html:
    """The differential flame graph of two Runs."""
    from flamegraph.writers import WriteOptions
    from flamegraph.writers.html import render_diff

    return _frame(render_diff(diff, WriteOptions(inverted=True)))


def _frame(page: bytes) -> Html:
    from flamegraph.writers.html_page import framed

    # The frame is far down the page: the browser loads it when it comes near the visible area.
    html = framed(page.decode(), _FLAME_HEIGHT)
    return Html(html.replace("<iframe ", '<iframe class="flame" loading="lazy" ', 1))


def _frame_script_hashes(html: str) -> set[str]:
    """Hashes of the frames' scripts: the policy of the page also applies to a frame with `srcdoc`."""
    return set(re.findall(r"script-src &#x27;(sha256-[0-9A-Za-z+/=]+)&#x27;", html))
