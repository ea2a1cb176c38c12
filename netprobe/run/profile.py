"""A profile as tables of a Run, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netprobe.errors import NetprobeError
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from flamegraph import Profile
    from flamegraph.frames import Kind
    from flamegraph.profile import Info
    from netprobe.run.table import Values

TABLES = ("profile_frames", "profile_stacks", "profile_threads", "profile_samples", "profile_info")


def profile_tables(profile: Profile) -> list[Table]:
    """The five tables of a profile."""
    samples, stacks = profile.samples, profile.stacks
    frames: dict[str, Values] = {
        "name": [frame.name for frame in profile.frames],
        "module": [frame.module for frame in profile.frames],
        "kind": [frame.kind.name.lower() for frame in profile.frames],
    }
    threads: dict[str, Values] = {
        "pid": [thread.pid for thread in profile.threads],
        "tid": [thread.tid for thread in profile.threads],
        "comm": [thread.comm for thread in profile.threads],
    }
    rows: dict[str, Values] = {
        "stack": samples.stack,
        "thread": samples.thread,
        "interval": samples.interval,
        "samples": samples.count,
        "weight": samples.weight,
    }
    columns: list[Mapping[str, Values]] = [
        frames,
        {"frames": [stacks[number].tolist() for number in range(len(stacks))]},
        threads,
        rows,
        {"info": [json.dumps(dataclasses.asdict(profile.info))]},
    ]
    return [declared_table(name, part) for name, part in zip(TABLES, columns, strict=True)]


def has_profile(tables: Mapping[str, Table]) -> bool:
    """Whether stacks were recorded."""
    return all(name in tables for name in TABLES)


def read_profile(tables: Mapping[str, Table]) -> Profile:
    """The profile of a Run's tables. Raises `NetprobeError` if there is none, or if its tables do not fit together."""
    import numpy as np

    from flamegraph.frames import Frame, Thread
    from flamegraph.profile import Profile, Samples, Stacks

    if not has_profile(tables):
        raise NetprobeError("This Run has no stacks.", hint="Record them: netprobe record, or netprobe flame -o RUN.")
    frames, stacks, threads, samples, info = (tables[name] for name in TABLES)
    lists = stacks.columns["frames"]
    starts = np.concatenate(([0], np.cumsum([len(stack) for stack in lists], dtype=np.int64)))
    flat = np.concatenate([np.empty(0, np.int64), *(np.asarray(stack, np.int64) for stack in lists)])
    _check_rows(stacks, "frames", flat, frames)

    def rows_of(name: str, other: Table) -> npt.NDArray[np.int64]:
        values = np.asarray(samples.columns[name], np.int64)
        _check_rows(samples, name, values, other)
        return values

    return Profile(
        [Frame(name, module, _kind(frames, kind)) for name, module, kind in frames.rows("name", "module", "kind")],
        Stacks(starts, flat),
        [Thread(*row) for row in threads.rows("pid", "tid", "comm")],
        Samples(
            rows_of("stack", stacks),
            rows_of("thread", threads),
            np.asarray(samples.columns["interval"], np.int64),
            np.asarray(samples.columns["samples"], np.int64),
            np.asarray(samples.columns["weight"], np.float64),
        ),
        _info(info),
    )


def _check_rows(table: Table, column: str, values: npt.NDArray[np.int64], other: Table) -> None:
    """Check that all values are rows of another table."""
    if len(values) and not 0 <= values.min() <= values.max() < len(other):
        wrong = values.max() if values.min() >= 0 else values.min()
        raise _corrupt(table, f"column {column} is out of range: {wrong}, expected a row of {other.name}")


def _kind(frames: Table, name: str) -> Kind:
    from flamegraph.frames import Kind

    try:
        return Kind[name.upper()]
    except KeyError:
        raise _corrupt(frames, f"column kind has the unknown kind {name!r}") from None


def _info(table: Table) -> Info:
    import msgspec

    from flamegraph.profile import Info

    texts = [text for (text,) in table.rows("info")]
    if len(texts) != 1:
        raise _corrupt(table, f"{len(texts)} rows, expected one")
    try:
        # Not msgspec.json: a length that is not known is NaN, which JSON does not have and Python's module writes.
        return msgspec.convert(json.loads(texts[0]), Info)
    except (ValueError, RecursionError) as error:
        raise _corrupt(table, f"column info: {error}") from error


def _corrupt(table: Table, reason: str) -> NetprobeError:
    return NetprobeError(
        f"The table {getattr(table.columns, 'file', table.name)} is corrupt: {reason}.",
        hint="Copy the Run again from where it was recorded.",
    )
