"""Assembles a page: packed data, template, style and scripts in one file that loads nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.writers.labels import sanitized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_ALIGN = 8
# Level 4: a tenth larger than level 9, five times as fast.
_LEVEL = 4


def packed(header: dict[str, Any], arrays: dict[str, Array], rising: frozenset[str] = frozenset()) -> str:
    """Base64 of: length of the JSON (uint32), the JSON, the arrays at the offsets in its field `arrays`.

    Arrays named in `rising` are ascending, and are stored as differences.
    """
    places: dict[str, dict[str, Any]] = {}
    chunks: list[bytes] = []
    offset = 0
    for name, values in arrays.items():
        stored = _narrowed(np.diff(values, prepend=values.dtype.type(0)) if name in rising else values)
        raw = _aligned(stored.tobytes())
        places[name] = {
            "type": f"{stored.dtype.kind}{stored.dtype.itemsize}",
            "offset": offset,
            "length": len(stored),
            "rising": name in rising,
        }
        chunks.append(raw)
        offset += len(raw)
    head = json.dumps({**header, "arrays": places}, separators=(",", ":")).encode()
    head = head + b" " * (-(len(head) + 4) % _ALIGN)
    content = b"".join((np.uint32(len(head)).astype("<u4").tobytes(), head, *chunks))
    # No time of day in the file: equal profiles give equal pages.
    return base64.b64encode(gzip.compress(content, _LEVEL, mtime=0)).decode()


def _narrowed(values: Array) -> Array:
    """The smallest of uint8, uint16, uint32 that holds the values, or float64."""
    if not len(values):
        return values.astype("<u1")
    low, high = values.min(), values.max()
    whole = values.dtype.kind in "iub" or bool((values == np.floor(values)).all())
    if whole and low >= 0:
        for kind, limit in (("<u1", 2**8), ("<u2", 2**16), ("<u4", 2**32)):
            if high < limit:
                return values.astype(kind)
    return values.astype("<f8")


def _aligned(raw: bytes) -> bytes:
    return raw + b"\0" * (-len(raw) % _ALIGN)


# In the order of their dependencies.
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
# Replaced in one pass, so that inserted text is not scanned again.
_PLACE = re.compile(r"\{\{[a-z]+\}\}")
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"
)


def page(title: str, data: str) -> str:
    """The HTML file. `data` is base64, which cannot end an element."""
    style, script = asset("style.css"), _script()
    policy = _POLICY.format(script=_digest(script), style=_digest(style))
    parts = {
        "{{policy}}": policy,
        "{{title}}": escape(sanitized(title)),
        "{{style}}": style,
        "{{data}}": data,
        "{{script}}": script,
    }
    return _PLACE.sub(lambda match: parts[match[0]], asset("page.html"))


def framed(html: str, height: int) -> str:
    """The page as an iframe without access to the page around it."""
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
