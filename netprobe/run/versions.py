"""Format versions of a Run, and the names that changed between them: the only place that knows old names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Fields and tables may be added within a version. A reader of version n reads all versions from 1 to n.
HISTORY = {
    1: "The first version.",
    2: "What is not known is null or missing: in imported Runs the length, the start and the fields of `host`; calls "
    "without threads have thread 0 and empty names. Runs of a load generator alone have `load_rounds` and no table "
    "`intervals`.",
    3: "Renamed: the tables `blocks` (now `intervals`) and `takeovers` (`next_tasks`); the columns `block` "
    "(`interval`), `from_ns` (`bucket_start_ns`), `octave` (`timeout_log2_us`), `program_cut` (`program_omitted`) and "
    "`what` (`quantity`); in run.json `window` (`recording`), `ways` (`attach_mechanisms`), `missed` (`dropped`), "
    "`imported.parts` (`reports`) and `left` (`skipped_lines`). Integers are int64, and tables without rows have "
    "typed columns.",
}
FORMAT_VERSION = max(HISTORY)

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
            imported["reports"] = [
                _renamed(report, _REPORT_FIELDS) if isinstance(report, dict) else report for report in reports
            ]
    if isinstance(tables := new.get("tables"), list):
        current = {old: name for name, old in _OLD_TABLES.items()}
        new["tables"] = [current.get(name, name) if isinstance(name, str) else name for name in tables]
    return new


def has_untyped_columns(version: int) -> bool:
    """Whether counters are unsigned and columns without rows have no type in Runs of this version."""
    return version < 3


def file_stem(table: str, version: int) -> str:
    """The name of a table's Parquet file, without its ending, in a Run of this version."""
    return _OLD_TABLES.get(table, table) if version < 3 else table


def upgraded_names(table: str, names: list[str], version: int) -> list[str]:
    """The current names of the columns of a table of this version."""
    if version >= 3:
        return names
    changed = _COLUMNS | _COLUMNS_OF.get(table, {})
    return [changed.get(name, name) for name in names]


def upgraded_profile_info(text: str, version: int) -> str:
    """The JSON text of the table `profile_info` with the current names of its fields."""
    if version >= 3:
        return text
    try:
        fields = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
    return json.dumps(_renamed(fields, _PROFILE_INFO_FIELDS)) if isinstance(fields, dict) else text


def _renamed(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in mapping.items()}
