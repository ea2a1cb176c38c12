"""Blocks as a Run. What they do not say is None there, and said to be not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

from netprobe import __version__
from netprobe.importers.block import Block
from netprobe.importers.choosing import TIMELESS, agree
from netprobe.run.model import FORMAT_VERSION, Run
from netprobe.run.profile import profile_tables
from netprobe.run.table import Table

if TYPE_CHECKING:
    from flamegraph.profile import Profile

_HOST = (
    "hostname", "kernel", "kernel_version", "architecture", "boot_parameters", "cpus_online", "cpu_model",
    "memory_kib", "page_size",
)  # fmt: skip
_NO_COST = {
    "programs": [],
    "accounted_seconds": 0.0,
    "estimated_cpu_pct_of_one": None,
    "attach_seconds": 0.0,
    "peak_resident_kib": 0,
}


def as_run(blocks: Sequence[Block], seconds: float | None = None, requests: float | None = None) -> Run:
    """One recording. `seconds`: of blocks that do not say; `requests`: served meanwhile, as the user says."""
    counts = [block for block in blocks if block.kind not in TIMELESS]
    window = _window(blocks, counts, seconds)
    durations = _grid(counts, window)
    tables = [table for block in blocks for table in _tables(block, one_block=len(durations) == 1)]
    tables += [_blocks(counts, durations), *_threads(tables)]
    told, notes = _requests(blocks, window, requests)
    info: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "netprobe_version": __version__,
        "host": _host(blocks),
        "target": _target(blocks, tables),
        "window": {"started": None, "seconds": window, "blocks": len(durations), "ended_by": None},
        "probes": list(dict.fromkeys(block.format for block in blocks)),
        "attached": [],
        "ways": {},
        "unavailable": [],
        "missed": [sentence for block in blocks for sentence in _left(block)],
        "cost": dict(_NO_COST),
        "imported": {
            "parts": [_part(block) for block in blocks],
            "notes": [*notes, *(note for block in blocks for note in block.contents.notes)],
            "unknown": _unknown(blocks, window),
            "only_most_frequent": any(block.contents.only_most_frequent for block in blocks),
        },
    }
    if told:
        info["requests"] = told
    return Run(info, {table.name: table for table in tables})


def _window(blocks: Sequence[Block], counts: Sequence[Block], seconds: float | None) -> float | None:
    """How long it took; a load generator's time only where nothing was counted beside it."""
    known = [block.seconds for block in counts or blocks if block.seconds is not None]
    return max(known) if known else seconds


def _grid(counts: Sequence[Block], window: float | None) -> tuple[float, ...]:
    """Lengths of the Run's time blocks: those that all counts have in common, else one."""
    grids = {block.contents.durations for block in counts}
    (grid,) = grids if len(grids) == 1 else (None,)
    return grid or (nan if window is None else window,)


def _tables(block: Block, one_block: bool) -> list[Table]:
    tables = list(block.contents.tables)
    if block.contents.profile is not None:
        tables += profile_tables(_without_times(block.contents.profile) if one_block else block.contents.profile)
    if not one_block:
        return tables
    return [
        Table(one.name, {**one.columns, "block": [0] * len(one)}) if "block" in one.columns else one for one in tables
    ]


def _without_times(profile: Profile) -> Profile:
    return replace(
        profile,
        samples=replace(profile.samples, block=profile.samples.block * 0),
        info=replace(profile.info, block_s=0.0, blocks=1),
    )


def _blocks(counts: Sequence[Block], durations: tuple[float, ...]) -> Table:
    starts = [sum(durations[:number]) for number in range(len(durations))] if len(durations) < 2 else _starts(durations)
    columns: dict[str, list[Any]] = {
        "block": list(range(len(durations))),
        "start_s": starts,
        "duration_s": list(durations),
    }
    machine = next((block.contents.machine for block in counts if block.contents.machine), None)
    if machine:
        whole = [list(values) if len(values) == len(durations) else [sum(values)] for values in machine]
        columns |= {"machine_switches": whole[0], "machine_forks": whole[1]}
    return Table("blocks", columns)


def _starts(durations: tuple[float, ...]) -> list[float]:
    starts, passed = [], 0.0
    for length in durations:
        starts.append(passed)
        passed += length
    return starts


def _threads(tables: Sequence[Table]) -> list[Table]:
    """The threads that the tables name."""
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    for table in tables:
        if table.name in ("syscalls", "switches"):
            for pid, tid, process, thread in table.rows("pid", "tid", "process", "thread"):
                if tid > 0:
                    seen[pid, tid] = process, thread
    if not seen:
        return []
    count = len(seen)
    columns: Mapping[str, list[Any]] = {
        "pid": [pid for pid, _ in seen],
        "tid": [tid for _, tid in seen],
        "process": [process for process, _ in seen.values()],
        "thread": [thread for _, thread in seen.values()],
        "cpus_allowed": [""] * count,
        "first_seen_s": [nan] * count,
        "ended_s": [nan] * count,
    }
    return [Table("threads", columns)]


def _requests(
    blocks: Sequence[Block], window: float | None, told: float | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """What the user says; else what the load generator says, where it is of the same time."""
    if told:
        return {"count": told, "source": "--requests"}, []
    for block in blocks:
        if block.contents.requests and agree(block.seconds, window):
            return {"count": block.contents.requests, "source": block.format}, []
        if block.contents.requests:
            counted = "an unknown time (say it with -d)" if window is None else f"{window:g} s"
            return None, [
                f"the requests of {block.format} are not used: it took {block.seconds:g} s, what was counted {counted}"
            ]
    return None, []


def _host(blocks: Sequence[Block]) -> dict[str, Any]:
    host: dict[str, Any] = dict.fromkeys(_HOST)
    for block in blocks:
        host |= block.contents.host
    return host


def _target(blocks: Sequence[Block], tables: Sequence[Table]) -> dict[str, Any]:
    formats = ", ".join(dict.fromkeys(block.format for block in blocks))
    sources = ", ".join(dict.fromkeys(block.source for block in blocks))
    threads = next((len(table) for table in tables if table.name == "threads"), 0)
    return {
        "description": f"what {formats} printed, from {sources}",
        "pids": [],
        "comm": None,
        "command": [],
        "threads": threads,
        "exit_status": None,
    }


def _left(block: Block) -> list[str]:
    if not block.left_count:
        return []
    one = block.left_count == 1
    lines = f"{block.left_count} line{'' if one else 's'}"
    more = "; …" if block.left_count > len(block.left) else ""
    what = f"could not be read and {'was' if one else 'were'} left: {'; '.join(block.left)}{more}"
    return [f"{lines} of {block.format} ({block.place}) {what}"]


def _part(block: Block) -> dict[str, Any]:
    return {
        "format": block.format,
        "kind": block.kind,
        "source": block.source,
        "first_line": block.first_line or None,
        "last_line": block.last_line or None,
        "rows": block.contents.rows,
        "seconds": block.seconds,
        "left": block.left_count,
    }


def _unknown(blocks: Sequence[Block], window: float | None) -> list[str]:
    host = _host(blocks)
    words = ["when it was recorded"]
    if window is None:
        words.append("how long it took")
    if not host["hostname"]:
        words.append("host and kernel")
    words += ["which CPUs were online"]
    return list(dict.fromkeys([*words, *(word for block in blocks for word in block.contents.unknown)]))
