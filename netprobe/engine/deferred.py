"""A module that is imported when it is used first: nothing but what attaching needs is imported before."""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a module until its first attribute is read."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """Called once for each attribute: it is then one of this object as well."""
        value = getattr(importlib.import_module(self._module), name)
        setattr(self, name, value)
        return value
