"""Finds the formats: modules of this package for reports in a text, and the profile formats of flamegraph."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module

from netprobe import importers
from netprobe.importers.report import ReportFormat


@cache
def text_formats() -> tuple[ReportFormat, ...]:
    """The formats of reports in a text. Raises `ValueError` for two of one name, naming both modules."""
    found: dict[str, tuple[str, ReportFormat]] = {}
    for name, module in _modules():
        if module.FORMAT in found:
            raise ValueError(f"the format {module.FORMAT!r} of {name} is already read by {found[module.FORMAT][0]}")
        found[module.FORMAT] = name, module
    return tuple(found[name][1] for name in sorted(found))


def _modules() -> Iterator[tuple[str, ReportFormat]]:
    for entry in pkgutil.iter_modules(importers.__path__):
        module = import_module(f"{importers.__name__}.{entry.name}")
        if hasattr(module, "begins"):
            yield entry.name, module


@cache
def hints() -> re.Pattern[str]:
    """Matches every line that the `begins` of some format needs to see."""
    return re.compile("|".join(hint for one in text_formats() for hint in one.HINTS))


def hinted_formats(text: str) -> list[ReportFormat]:
    """The formats whose `begins` needs to see this line."""
    return [one for one in text_formats() if any(re.search(hint, text) for hint in one.HINTS)]


def format_names() -> list[str]:
    """The name of everything that can be imported, for messages."""
    from flamegraph.readers import input_formats

    return [*(one.FORMAT for one in text_formats()), *sorted(one.FORMAT for one in input_formats())]
