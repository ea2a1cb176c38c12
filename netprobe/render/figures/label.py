"""Text of the traced machine for plotly, which takes a part of HTML, entities and `$…$` for markup."""

from __future__ import annotations

from html import escape

from netprobe.render.safe import printable

_LONGEST = 60


def label(text: str, longest: int = _LONGEST) -> str:
    """The text as it is, spelt out where it could act, and shortened in the middle.

    Never put it into a `hovertemplate` or `texttemplate`, where `%{…}` acts too: those take it from `customdata`.
    """
    shown = printable(text)
    if len(shown) > longest:
        shown = f"{shown[: longest - longest // 3 - 1]}…{shown[len(shown) - longest // 3 :]}"
    # MathJax takes $…$, where a page or notebook has it.
    return escape(shown, quote=False).replace("$", "&#36;")


def thread_labels(threads: list[tuple[int, int, str]]) -> list[str]:
    """Names of threads (pid, tid, name), with the number where the name alone does not tell them apart."""
    names = [name for _, _, name in threads]
    return [label(name) + (f" ({tid})" if names.count(name) > 1 and tid else "") for _, tid, name in threads]
