"""Finds the formats: the files of this package that have one."""

from __future__ import annotations

import pkgutil
import re
from functools import cache
from importlib import import_module

from netprobe import importers
from netprobe.importers import stacks
from netprobe.importers.report import Format


@cache
def text_formats() -> tuple[Format, ...]:
    """Formats that are parts of a text, by name."""
    modules = [import_module(f"netprobe.importers.{one.name}") for one in pkgutil.iter_modules(importers.__path__)]
    return tuple(sorted((one for one in modules if hasattr(one, "begins")), key=lambda one: one.FORMAT))


@cache
def hints() -> re.Pattern[str]:
    """Finds the lines that the formats want to see."""
    return re.compile("|".join(hint for one in text_formats() for hint in one.HINTS))


def format_names() -> list[str]:
    """Everything that can be imported, for messages."""
    return [*(one.FORMAT for one in text_formats()), *stacks.FORMATS]
