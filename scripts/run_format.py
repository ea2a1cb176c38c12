#!/usr/bin/env python3
"""Write docs/run-format.md from the declarations in netprobe/run: tables, fields of run.json, history of versions."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from netprobe.run import description
from netprobe.run.schema.columns import Column, TableSchema
from netprobe.run.schema.tables import COMMON, TABLES
from netprobe.run.versions import HISTORY

PAGE = Path(__file__).parent.parent / "docs" / "run-format.md"

_INTRODUCTION = """\
# The Run format

<!-- Written by scripts/run_format.py from netprobe/run/schema/tables.py and netprobe/run/description.py. -->

A Run is a directory: `run.json` and one Parquet file per table, `NAME.parquet`. It is written under a temporary name
and renamed, so it is complete or absent. A Run of some seconds of a busy server takes a few hundred kilobytes. Any
program that reads Parquet can read the tables; `netprobe.load()` adds checks and findings.

The unit of a number is the ending of its column's name (`_ns`, `_us`, `_s`, `_kib`, `_pct`); a number without one is a
count or an id. All integers are int64. Counts are those of the row's time interval alone, and a row exists only where
something was counted: for a rate, add up and divide by `run.seconds`; for the spread over time, add up by `interval`.
A table without rows has all its columns with their types.

Names of processes, threads, devices and functions come from the recorded machine; they may contain any character.

## Columns of many tables

| Column | Type | Meaning |
|---|---|---|
"""

_JSON = """\
## run.json

Fields and tables may be added within a version: a reader ignores those that it does not know.
"""

_HISTORY = """\
## History of versions

| Version | Changes |
|---|---|
"""

_END = """
netprobe reads all versions up to its own, and refuses newer ones with an error that names the version.
"""


def page() -> str:
    """The content of docs/run-format.md."""
    parts = [_INTRODUCTION + "".join(map(_row, COMMON))]
    for section, tables in groupby(TABLES.values(), lambda table: table.section):
        parts += [f"## {section}\n", *map(_table, tables)]
    parts += [_JSON, *_fields("", description.RunFile)]
    history = "".join(f"| {version} | {changes} |\n" for version, changes in HISTORY.items())
    return "\n".join(parts) + "\n" + _HISTORY + history + _END


def _table(table: TableSchema) -> str:
    together = f" Of use only with the other tables of {table.used_with}." if table.used_with else ""
    common = [column for column in table.columns if column in COMMON]
    own = "".join(_row(column) for column in table.columns if column not in COMMON)
    names = ", ".join(f"`{column.name}`" for column in common)
    rows = f"| {names} | | as above |\n{own}" if common else own
    return (
        f"### {table.name}\n\n{table.description} Source: {table.source}.{together}\n\n"
        f"| Column | Type | Meaning |\n|---|---|---|\n{rows}"
    )


def _row(column: Column) -> str:
    bits = "; the 64 bits of an unsigned number" if column.all_64_bits else ""
    compared = "; compared by `netprobe diff`" if column.compared else ""
    return f"| `{column.name}` | {column.dtype} | {column.description}{bits}{compared} |\n"


def _fields(parent: str, struct: type[msgspec.Struct]) -> list[str]:
    """A table of the fields of a structure, then those of the structures in it."""
    rows, inner = [], []
    for name, hint in get_type_hints(struct, include_extras=True).items():
        path = f"{parent}.{name}" if parent else name
        rows.append(f"| `{path}` | {_meaning(hint)} |\n")
        if nested := _struct_in(hint):
            many = "[]" if str(hint).find("list[") >= 0 else ""
            inner += _fields(f"{path}{many}", nested)
    heading = f"### {parent}\n\n" if parent else ""
    return [f"{heading}| Field | Meaning |\n|---|---|\n{''.join(rows)}", *inner]


def _meaning(hint: Any) -> str:
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return next(meta.description for meta in metas if meta.description)


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for argument in get_args(hint) if (found := _struct_in(argument))), None)


if __name__ == "__main__":
    PAGE.write_text(page())
