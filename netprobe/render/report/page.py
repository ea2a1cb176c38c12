"""Puts the page together: text, style, scripts, plotly and the charts' data in one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from netprobe import __version__
from netprobe.render.figures.theme import SCALES, template
from netprobe.render.plotly_js import plotly_js
from netprobe.render.report.flame import script_policy
from netprobe.render.report.html import Html, element, join, text
from netprobe.render.report.parts import Charts, Section

_SCRIPTS = ("data.js", "theme.js", "charts.js", "time.js", "print.js", "main.js")
_PLACE = re.compile(r"\{\{[a-z]+\}\}")
# Styles of elements are set by plotly; they cannot run anything, and nothing can be loaded.
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)


def page(title: str, top: Html, sections: Sequence[Section], charts: Charts) -> bytes:
    """The whole file. `top`: heading, verdict and findings."""
    body = join(_section(one) for one in sections)
    script, plotly = _script(), plotly_js() if charts.figures else ""
    hashes = [_digest(script), *([_digest(plotly)] if plotly else []), *sorted(script_policy(body))]
    data = {"figures": charts.figures, "templates": {look: template(look) for look in SCALES}, "scales": SCALES}
    parts = {
        "{{policy}}": _POLICY.format(scripts=" ".join(f"'{one}'" for one in hashes)),
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
    # All at once: what is put in is not looked at again.
    return _PLACE.sub(lambda match: parts[match[0]], _asset("page.html")).encode("utf-8")


def _section(one: Section) -> Html:
    return element(
        "section", element("h2", one.title, id=f"{one.anchor}-title"), one.body, id=one.anchor,
        aria_labelledby=f"{one.anchor}-title",
    )  # fmt: skip


def _nav(sections: Sequence[Section]) -> Html:
    links = [("findings", "Findings"), *((one.anchor, one.short or one.title) for one in sections)]
    return element("ul", *(element("li", element("a", title, href=f"#{anchor}")) for anchor, title in links))


def _json(data: Any) -> str:
    # JSON has no NaN; plotly takes null for a gap.
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _packed(data: str) -> str:
    """Base64 ends no element, whatever is in the data."""
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
