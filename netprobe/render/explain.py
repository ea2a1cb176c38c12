"""A rule's documentation: its docstring, as Markdown for pages and as text for people."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from typing import TextIO

from netprobe.render.text import Column, TextTable
from netprobe.rules.context import Rule

SECTIONS = ("What it sees", "Why it matters", "How to fix it", "Source")


def title(rule: Rule) -> str:
    """The first line: what the finding is about."""
    return _document(rule).split("\n", 1)[0]


def as_markdown(rule: Rule) -> str:
    """The whole, below its code as a heading."""
    return f"# {rule.CODE}\n\n{_document(rule)}\n"


def catalogue(rules: Iterable[Rule]) -> TextTable:
    """All codes with their titles."""
    return TextTable([Column("CODE"), Column("WHAT IT IS ABOUT")], [[rule.CODE, title(rule)] for rule in rules])


def show_document(rule: Rule, out: TextIO | None = None) -> None:
    """Print it: drawn on a terminal, as Markdown in a pipe."""
    out = out or sys.stdout
    if out.isatty():
        _draw(rule, out)
    else:
        out.write(as_markdown(rule))


def _document(rule: Rule) -> str:
    return inspect.cleandoc(rule.__doc__ or "")


def _draw(rule: Rule, out: TextIO) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=out, highlight=False)
    console.print(Markdown(as_markdown(rule), justify="left"), width=min(console.width, 100))
