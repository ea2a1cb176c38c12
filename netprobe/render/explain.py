"""The documentation of rules: Markdown in a pipe, formatted text on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from netprobe.render.text import TextColumn, TextTable
from netprobe.rules.context import Rule


def as_markdown(rule: Rule) -> str:
    """The documentation under the code as a heading."""
    return f"# {rule.CODE}\n\n{rule.DOCUMENTATION.markdown}\n"


def catalogue(rules: Iterable[Rule]) -> TextTable:
    """All codes with their titles."""
    return TextTable(
        [TextColumn("CODE"), TextColumn("FINDING")], [[rule.CODE, rule.DOCUMENTATION.title] for rule in rules]
    )


def show_document(rule: Rule, out: TextIO | None = None) -> None:
    """Print the documentation of a rule."""
    out = out or sys.stdout
    if not out.isatty():
        out.write(as_markdown(rule))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=out, highlight=False)
    console.print(Markdown(as_markdown(rule), justify="left"), width=min(console.width, 100))
