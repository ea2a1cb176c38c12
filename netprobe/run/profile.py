"""A profile as tables of a Run, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError
from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph import Profile
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
    """The profile of a Run's tables. Raises `NetprobeError` if there is none."""
    import numpy as np

    from flamegraph.frames import Frame, Kind, Thread
    from flamegraph.profile import Profile, Samples, Stacks

    if not has_profile(tables):
        raise NetprobeError("This Run has no stacks.", hint="Record them: netprobe record, or netprobe flame -o RUN.")
    frames, stacks, threads, samples, info = (tables[name] for name in TABLES)
    lists = stacks.columns["frames"]
    starts = np.concatenate(([0], np.cumsum([len(one) for one in lists], dtype=np.int64)))
    flat = np.concatenate([np.empty(0, np.int64), *(np.asarray(one, np.int64) for one in lists)])

    def numbers(name: str) -> npt.NDArray[np.int64]:
        return np.asarray(samples.columns[name], np.int64)

    fields = json.loads(next(iter(info.rows("info")))[0])
    return Profile(
        [Frame(name, module, Kind[kind.upper()]) for name, module, kind in frames.rows("name", "module", "kind")],
        Stacks(starts, flat),
        [Thread(*row) for row in threads.rows("pid", "tid", "comm")],
        Samples(
            numbers("stack"),
            numbers("thread"),
            numbers("interval"),
            numbers("samples"),
            np.asarray(samples.columns["weight"], np.float64),
        ),
        _info(fields),
    )


def _info(fields: dict[str, Any]) -> Info:
    from flamegraph.profile import Info

    # JSON has no tuples.
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Info(**values)
