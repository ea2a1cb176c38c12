"""What a load generator measured in rounds: the pyperf suite `bench.json` that lies in a Run's directory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUITE = "bench.json"
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Rounds:
    """One thing that was measured: its name, pyperf's unit (`second`, `integer` …), a value for each round."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def is_time(self) -> bool:
        """Whether the values are seconds."""
        return self.unit == "second"


def read_rounds(folder: Path | None) -> list[Rounds]:
    """All that was measured; nothing where a Run has no suite, or one that cannot be read."""
    if folder is None:
        return []
    try:
        if (folder / SUITE).stat().st_size > _MOST_BYTES:
            return []
        suite = json.loads((folder / SUITE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return list(_benchmarks(suite))


def _benchmarks(suite: Any) -> Iterator[Rounds]:
    shared = _mapping(suite).get("metadata")
    for benchmark in _list(_mapping(suite).get("benchmarks")):
        metadata = {**_mapping(shared), **_mapping(_mapping(benchmark).get("metadata"))}
        values = [value for run in _list(_mapping(benchmark).get("runs")) for value in _values(_mapping(run))]
        if values:
            # pyperf keeps what is the same in all rounds once, and leaves out the unit of seconds.
            yield Rounds(str(metadata.get("name", "benchmark")), str(metadata.get("unit", "second")), tuple(values))


def _values(run: dict[str, Any]) -> Iterator[float]:
    for value in _list(run.get("values")):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield float(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
