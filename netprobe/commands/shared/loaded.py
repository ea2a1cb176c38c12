"""Recording while a load generator runs in rounds, and what that adds to a Run."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.commands.shared.everything import record_everything
from netprobe.commands.shared.recording import Request

if TYPE_CHECKING:
    from netprobe.lab.load import Load, Round
    from netprobe.run.model import Run


def record_load(pid: int, load: Load, rounds: int, frequency: int) -> tuple[list[Round], Run]:
    """Record a process for exactly as long as these rounds take; the Run knows how many requests there were.

    Raises `NetprobeError` where either cannot be done.
    """
    from netprobe.lab.load import read_results, write_order
    from netprobe.run.model import Run as Model

    with tempfile.TemporaryDirectory(prefix="netprobe-load-") as place:
        order = Path(place, "order.json")
        command = shlex.join(write_order(order, load, rounds))
        run = record_everything(Request(pids=(pid,), while_command=command, while_text="the load"), frequency)
        recorded = read_results(order)
    requests = {"count": sum(one.requests for one in recorded), "source": "the load generator"}
    return recorded, Model({**run.info, "requests": requests}, run.tables)


def with_rounds(run: Run, rounds: Sequence[Round]) -> Run:
    """The Run with tables of the rounds."""
    from netprobe.run.bench_suite import round_tables
    from netprobe.run.model import Run as Model

    return Model(run.info, {**run.tables, **{table.name: table for table in round_tables(rounds)}})


def write_with_suite(run: Run, folder: Path, suite: bytes) -> bool:
    """Write a Run with bench.json in its directory, each complete or not at all; True in place of an older one."""
    from flamegraph.writers.registry import written_atomically
    from netprobe.run.rounds import SUITE
    from netprobe.run.store import write_run

    replaced = write_run(run, folder)
    with written_atomically(folder / SUITE) as file:
        file.write(suite)
    return replaced
