"""What every command's JSON begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netprobe import __version__
from netprobe.run.model import Run

SCHEMA_VERSION = 1


def bare_envelope(command: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """Results of files that netprobe did not record: there is no window and no target."""
    return {"schema_version": SCHEMA_VERSION, "command": command, "netprobe_version": __version__, **results}


def envelope(command: str, run: Run, results: Mapping[str, Any]) -> dict[str, Any]:
    """Results with the window, the target, what is missing and what it cost (schema/envelope.json)."""
    info = run.info
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "netprobe_version": info["netprobe_version"],
        "target": info["target"],
        "recording": info["recording"],
        "attached": info["attached"],
        "attach_mechanisms": info["attach_mechanisms"],
        "unavailable": info["unavailable"],
        "dropped": info["dropped"],
        "cost": info["cost"],
        **results,
    }
