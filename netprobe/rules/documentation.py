"""The published documentation of a rule: the docstring of its module, parsed into sections.

The first paragraph of the sections "Why it matters", "Fix" and "Source" is also the text of the rule's findings, so
that each sentence stands once. Further paragraphs have the details, for `netprobe explain` and the reference page.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

SECTIONS = ("Detection", "Why it matters", "Fix", "Source")
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Documentation:
    """The title, the first paragraph of each section as plain text, and the whole as Markdown."""

    title: str
    detection: str
    why_it_matters: str
    fix: str
    source: str
    markdown: str


def parse(docstring: str | None) -> Documentation:
    """Parse the docstring of a rule. Raises `ValueError` if a section is missing, empty or out of order."""
    if docstring is None:
        # `python -OO` removes docstrings.
        return Documentation("", "", "", "", "", "")
    markdown = inspect.cleandoc(docstring)
    title, *parts = _HEADING.split(markdown)
    headings, bodies = parts[::2], [_first_paragraph(body) for body in parts[1::2]]
    if tuple(headings) != SECTIONS or not title.strip() or not all(bodies):
        raise ValueError(
            f"the documentation of a rule has a title and the sections {', '.join(SECTIONS)}, none of them empty; "
            f"this one has {', '.join(headings) or 'none'}: {title.strip()!r}"
        )
    detection, why_it_matters, fix, source = bodies
    return Documentation(_plain(title), detection, why_it_matters, fix, source, markdown)


def _first_paragraph(section: str) -> str:
    return _plain(section.strip().partition("\n\n")[0])


def _plain(markdown: str) -> str:
    """Text in one line without the backquotes of Markdown."""
    return " ".join(markdown.replace("`", "").split())
