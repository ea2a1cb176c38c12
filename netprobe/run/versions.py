"""Runs of older format versions, as the current one: the names that changed, all in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Table -> its name up to version 2.
_OLD_TABLES = {"intervals": "blocks", "next_tasks": "takeovers"}
# Column up to version 2 -> its name, whichever table it is in.
_COLUMNS = {"block": "interval"}
# Table -> column up to version 2 -> its name.
_COLUMNS_OF = {
    "busy_loops": {"what": "quantity"},
    "reuseport_groups": {"program_cut": "program_omitted"},
    "run_queue_histogram": {"from_ns": "bucket_start_ns"},
    "syscall_latency_histogram": {"from_ns": "bucket_start_ns"},
    "syscall_timeouts": {"octave": "timeout_log2_us"},
}
_FIELDS = {"window": "recording", "ways": "attach_mechanisms", "missed": "dropped"}
_RECORDING_FIELDS = {"blocks": "intervals", "ended_by": "stopped_by"}
_STOPPED_BY = {"time": "duration", "target ended": "target exited", "command ended": "command exited"}
_IMPORTED_FIELDS = {"parts": "reports"}
_REPORT_FIELDS = {"left": "skipped_lines"}
_PROFILE_INFO_FIELDS = {"block_s": "interval_s", "blocks": "intervals"}


def upgraded_info(info: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The content of a run.json of this format version with the current names; values that do not fit stay."""
    if version >= 3:
        return dict(info)
    new = _renamed(info, _FIELDS)
    if isinstance(recording := new.get("recording"), dict):
        recording = new["recording"] = _renamed(recording, _RECORDING_FIELDS)
        if isinstance(stopped_by := recording.get("stopped_by"), str):
            recording["stopped_by"] = _STOPPED_BY.get(stopped_by, stopped_by)
    if isinstance(imported := new.get("imported"), dict):
        imported = new["imported"] = _renamed(imported, _IMPORTED_FIELDS)
        if isinstance(reports := imported.get("reports"), list):
            imported["reports"] = [_renamed(one, _REPORT_FIELDS) if isinstance(one, dict) else one for one in reports]
    if isinstance(tables := new.get("tables"), list):
        current = {old: name for name, old in _OLD_TABLES.items()}
        new["tables"] = [current.get(name, name) if isinstance(name, str) else name for name in tables]
    return new


def file_stem(table: str, version: int) -> str:
    """The name of a table's Parquet file, without its ending, in a Run of this version."""
    return _OLD_TABLES.get(table, table) if version < 3 else table


def upgraded_columns(table: str, columns: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Columns of a table of this version with the current names."""
    if version >= 3:
        return dict(columns)
    new = _renamed(columns, _COLUMNS | _COLUMNS_OF.get(table, {}))
    if table == "profile_info" and "info" in new:
        new["info"] = [_upgraded_profile_info(text) for text in new["info"]]
    return new


def _upgraded_profile_info(text: Any) -> Any:
    try:
        fields = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
    return json.dumps(_renamed(fields, _PROFILE_INFO_FIELDS)) if isinstance(fields, dict) else text


def _renamed(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in mapping.items()}
