"""Busy polls with and without packets, and how packets were received, over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.time_series import TimeAxis
from netprobe.render.figures.theme import BLUE, GREY, ORANGE, TEAL
from netprobe.render.figures.timeline import Lane, Row, time_axis_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.render.safe import thread_labels
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.run.table import Table

_THREADS = 7


def draw(context: RunContext) -> go.Figure:
    """Three rows on one time axis: hits, misses, packets by receiver."""
    found = context.polling
    if not any(row.attempts for row in found.rows):
        raise MissingDataError(found.sentence.rstrip("."))
    axis = time_axis_of(context.run)
    table = context.run.tables["busy_polls"]
    rows = [*_polls(table, axis), *_packets(context, table, axis)]
    return draw_rows(axis, rows, "Busy polls and packets over time")


def _polls(table: Table, axis: TimeAxis) -> Iterator[Row]:
    threads: dict[tuple[int, int, str], list[tuple[int, int, int]]] = {}
    for interval, pid, tid, thread, attempts, hits in table.rows(
        "interval", "pid", "tid", "thread", "attempts", "hits"
    ):
        if tid:
            threads.setdefault((pid, tid, thread), []).append((interval, hits, attempts - hits))
    busiest = sorted(threads, key=lambda key: -sum(hits + misses for _, hits, misses in threads[key]))[:_THREADS]
    names = thread_labels(busiest)
    some = f"; the {_THREADS} busiest of {len(threads)} threads" if len(threads) > _THREADS else ""
    titles = ("Hits: polls per second that found packets", "Misses: polls per second that found no packet")
    for column, title in enumerate(titles, start=1):
        lanes = [
            Lane(name, axis.rate([row[0] for row in threads[key]], [row[column] for row in threads[key]]))
            for name, key in zip(names, busiest, strict=True)
        ]
        yield Row(f"{title}{some}", lanes)


def _packets(context: RunContext, table: Table, axis: TimeAxis) -> Iterator[Row]:
    """Packets of the NAPI instances of the server's connections."""
    of_server = {napi.napi_id for napi in context.polling.napis}
    target, others = np.zeros(len(axis)), np.zeros(len(axis))
    for interval, tid, napi, packets, last in table.rows("interval", "tid", "napi_id", "packets", "last_poll_packets"):
        if napi in of_server:
            (target if tid else others)[interval] += packets + last
    softirq, napi_threads = np.zeros(len(axis)), np.zeros(len(axis))
    for interval, napi, threaded, packets in context.run.tables["softirq_polls"].rows(
        "interval", "napi_id", "threaded", "packets"
    ):
        if napi in of_server:
            (napi_threads if threaded else softirq)[interval] += packets
    lanes = [
        Lane(receiver, axis.per_second(counts), color)
        for receiver, counts, color in (
            ("by the server's busy polling", target, BLUE),
            ("by other pollers", others, TEAL),
            ("by softirq", softirq, ORANGE),
            ("by NAPI threads", napi_threads, GREY),
        )
        if counts.any()
    ]
    if lanes:
        yield Row("Packets per second, by receiver", lanes, stacked=True)
