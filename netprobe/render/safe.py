"""Text from the traced machine, escaped for terminals, pages and plotly."""

from __future__ import annotations

import unicodedata

# Control, format (the direction marks among them), surrogates, private use, unassigned, line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LABEL_LENGTH = 60


def printable(text: str) -> str:
    """Write every control, invisible or direction-changing character as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def label(text: str, max_length: int = _LABEL_LENGTH) -> str:
    """A label for plotly, which interprets some HTML, entities and `$…$`; long text is shortened in the middle.

    Never put it into a `hovertemplate` or `texttemplate`, where `%{…}` is interpreted too: pass it as `customdata`.
    """
    from html import escape

    shown = printable(text)
    if len(shown) > max_length:
        shown = f"{shown[: max_length - max_length // 3 - 1]}…{shown[len(shown) - max_length // 3 :]}"
    # MathJax interprets $…$ on pages and in notebooks that load it.
    return escape(shown, quote=False).replace("$", "&#36;")


def thread_labels(threads: list[tuple[int, int, str]]) -> list[str]:
    """Labels of threads (pid, tid, name); the TID is added where several threads have the same name."""
    names = [name for _, _, name in threads]
    return [label(name) + (f" ({tid})" if names.count(name) > 1 and tid else "") for _, tid, name in threads]
