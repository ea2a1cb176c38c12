"""HTML elements. All plain text is escaped on insertion, so that no text of the traced machine becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from netprobe.render.safe import printable
from netprobe.render.text import TextTable

# Columns of identifiers, whose digits are not grouped.
_IDENTIFIERS = frozenset({"PID", "TID", "NAPI", "QUEUE", "INDEX", "INTERVAL"})
_LONG = re.compile(r"([0-9]{4,})((?:\.[0-9]+)?)")
_COUNT = re.compile(
    r"(?<![\w.,:/-])[0-9]{4,}(?= (?:of [0-9]+|and [0-9]+ requests|per second|times|messages|packets|polls|requests"
    r"|waits|calls|samples|switches|attempts|connections|listeners|threads)\b)"
)
_VOID = frozenset({"input", "br", "meta"})


class Html(str):
    """Text that is markup and is not escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any text, escaped."""
    return value if isinstance(value, Html) else Html(escape(printable(str(value))))


def join(parts: Iterable[object]) -> Html:
    """Concatenate the parts."""
    return Html("".join(text(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """An element. Attributes: `class_` for class, `_` for `-`; True has no value, None and False are skipped."""
    written = "".join(_attribute(name, value) for name, value in attributes.items() if value not in (None, False))
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def _attribute(name: str, value: object) -> str:
    plain = name.rstrip("_").replace("_", "-")
    return f" {plain}" if value is True else f' {plain}="{text(value)}"'


def listed(lines: Iterable[object], class_: str | None = None) -> Html:
    """A list; empty without lines."""
    items = [element("li", line) for line in lines]
    return element("ul", *items, class_=class_) if items else Html("")


def pairs(rows: Iterable[tuple[str, object]]) -> Html:
    """A list of terms and descriptions; terms with an empty description are skipped."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in rows if str(value)),
        class_="pairs",
    )


def table(shown: TextTable, caption: str) -> Html:
    """A text table as HTML, in a region of its own that scrolls on narrow pages."""
    numbers = [column.number for column in shown.columns]
    head = element("tr", *(element("th", column.heading, scope="col", class_=_side(column.number))
                           for column in shown.columns))  # fmt: skip
    counts = [column.number and column.heading not in _IDENTIFIERS for column in shown.columns]
    rows = [
        _row(
            shown, number, [_grouped(cell) if count else cell for cell, count in zip(row, counts, strict=True)], numbers
        )
        for number, row in enumerate(shown.rows)
    ]
    body = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *rows), class_="table"
    )
    return element("div", body, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _row(shown: TextTable, number: int, row: Sequence[str], numbers: Sequence[bool]) -> Html:
    cells = [
        element("td", cell, class_=" ".join(filter(None, (_side(right), _tone(shown, number, place)))) or None)
        for place, (cell, right) in enumerate(zip(row, numbers, strict=True))
    ]
    return element("tr", *cells, class_=_tone(shown, number, -1))


def counted(sentence: object) -> str:
    """Group the digits of the counts in a sentence; other numbers (ports, PIDs) stay as they are."""
    return _COUNT.sub(lambda found: f"{int(found[0]):,}", str(sentence))


def _grouped(cell: str) -> str:
    """Group the digits of a plain number."""
    found = _LONG.fullmatch(cell)
    return f"{int(found[1]):,}{found[2]}" if found else cell


def _side(right: bool) -> str | None:
    return "number" if right else None


def _tone(shown: TextTable, row: int, column: int) -> str | None:
    """The colour of the row or cell on a terminal, as a class."""
    style = shown.cell_styles.get((row, column), "") if column >= 0 else shown.styles.get(row, "")
    return next((name for name in ("red", "yellow", "green", "dim") if name in style), None)


def folded(summary: object, *children: object, class_: str = "more") -> Html:
    """Content that is hidden until its summary is clicked."""
    return element("details", element("summary", summary), *children, class_=class_)
