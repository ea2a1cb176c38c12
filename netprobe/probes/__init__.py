"""Probes: one file per probe, with the name of its C file in bpf/.

A file that defines `Probe` (netprobe/probes/base.py) is a probe; `all_probes` finds it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netprobe.probes.base import Probe


def all_probes() -> dict[str, type[Probe]]:
    """The classes of all probes by name, in alphabetical order. Raises `ValueError` for a duplicate name."""
    found: dict[str, type[Probe]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        probe: type[Probe] | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "Probe", None)
        if probe is None:
            continue
        if probe.name in found:
            raise ValueError(f"probe {probe.name!r} of {module.name}.py is defined in {found[probe.name].__module__}")
        found[probe.name] = probe
    return found
