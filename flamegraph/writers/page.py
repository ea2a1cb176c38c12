"""Puts a page together: template, style, scripts and packed data in one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib.resources import files

from flamegraph.writers.shown import shown

# In the order in which they build on each other.
_SCRIPTS = (
    "data.js",
    "model.js",
    "state.js",
    "text.js",
    "plan.js",
    "draw.js",
    "strip.js",
    "threads.js",
    "table.js",
    "describe.js",
    "keys.js",
    "print.js",
    "main.js",
)
# All at once: what is put in is not looked at again.
_PLACE = re.compile(r"\{\{[a-z]+\}\}")
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"
)


def page(title: str, data: str) -> str:
    """The whole HTML file. `data` is base64: nothing in it can end an element."""
    style, script = asset("style.css"), _script()
    policy = _POLICY.format(script=_digest(script), style=_digest(style))
    parts = {
        "{{policy}}": policy,
        "{{title}}": escape(shown(title)),
        "{{style}}": style,
        "{{data}}": data,
        "{{script}}": script,
    }
    return _PLACE.sub(lambda match: parts[match[0]], asset("page.html"))


def framed(html: str, height: int) -> str:
    """The page as a frame inside another page, unable to touch that one."""
    return (
        f'<iframe sandbox="allow-scripts" style="width:100%;height:{height}px;border:0" '
        f'title="Flame graph" srcdoc="{escape(html)}"></iframe>'
    )


@cache
def asset(name: str) -> str:
    """A file of `flamegraph/assets`."""
    return (files("flamegraph") / "assets" / name).read_text("utf-8")


@cache
def _script() -> str:
    parts = "\n".join(asset(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
