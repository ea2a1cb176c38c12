"""The part of the JSON output that all commands have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netprobe.run.description import info_as_json
from netprobe.run.model import Run
from netprobe.version import __version__

SCHEMA_VERSION = 2


def bare_envelope(command: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """Results from files that netprobe did not record: they have no recording and no target."""
    return {"schema_version": SCHEMA_VERSION, "command": command, "netprobe_version": __version__, **results}


def envelope(command: str, run: Run, results: Mapping[str, Any]) -> dict[str, Any]:
    """Results with the recording, the target, missing data and cost (schema/envelope.json)."""
    info = info_as_json(run.info)
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
