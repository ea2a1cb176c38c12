"""Tables: styled on a terminal, plain aligned text in a pipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from netprobe.render.safe import printable


@dataclass(frozen=True)
class TextColumn:
    """A heading; numbers are right-aligned, text is left-aligned."""

    heading: str
    number: bool = False


@dataclass(frozen=True)
class TextTable:
    """Rows of cells as unescaped text: rendering escapes them."""

    columns: Sequence[TextColumn]
    rows: Sequence[Sequence[str]]
    # Styles of rich for terminals, by row and by (row, column).
    styles: Mapping[int, str] = field(default_factory=dict)
    cell_styles: Mapping[tuple[int, int], str] = field(default_factory=dict)


def show(table: TextTable, out: TextIO | None = None) -> None:
    """Print a table."""
    out = out or sys.stdout
    if out.isatty():
        _show_rich(table, out)
    else:
        out.write(plain(table))


def say(text: str, out: TextIO | None = None) -> None:
    """Print a sentence, escaped, and wrapped on a terminal."""
    out = out or sys.stdout
    text = printable(text)
    if out.isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns)
    out.write(text + "\n")


def plain(table: TextTable) -> str:
    """The table as aligned text, two spaces between columns."""
    cells = [[column.heading for column in table.columns]]
    cells += [[printable(cell) for cell in row] for row in table.rows]
    widths = [max(_width(row[index]) for row in cells) for index in range(len(table.columns))]
    lines = []
    for row in cells:
        parts = [
            _pad(cell, width, column.number) for cell, width, column in zip(row, widths, table.columns, strict=True)
        ]
        lines.append("  ".join(parts).rstrip() + "\n")
    return "".join(lines)


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Number of terminal columns of the text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    marks = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) + wide - marks


def _show_rich(table: TextTable, out: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold cyan", padding=(0, 2, 0, 0))
    for column in table.columns:
        drawn.add_column(column.heading, justify="right" if column.number else "left", overflow="fold")
    for number, row in enumerate(table.rows):
        styles = (table.cell_styles.get((number, index), table.styles.get(number, "")) for index in range(len(row)))
        drawn.add_row(*(Text(printable(cell), style=style) for cell, style in zip(row, styles, strict=True)))
    Console(file=out, highlight=False).print(drawn)
