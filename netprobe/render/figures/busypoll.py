"""Busy polls that found packets and that found none, and who took the packets, over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from netprobe.render.figures.label import thread_labels
from netprobe.render.figures.theme import BLUE, GREY, ORANGE, TEAL
from netprobe.render.figures.timeline import Clock, Line, Row, clock_of
from netprobe.render.figures.timeline import draw as draw_rows
from netprobe.rules.context import MissingDataError, RunContext

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from netprobe.run.table import Table

_THREADS = 7


def draw(context: RunContext) -> go.Figure:
    """Three rows on one time axis: hits, misses, packets by who took them."""
    found = context.polling
    if not any(row.attempts for row in found.rows):
        raise MissingDataError(found.sentence.rstrip("."))
    clock = clock_of(context.run)
    table = context.run.tables["busy_polls"]
    rows = [*_polls(table, clock), *_packets(context, table, clock)]
    return draw_rows(clock, rows, "Busy polls and packets over time")


def _polls(table: Table, clock: Clock) -> Iterator[Row]:
    threads: dict[tuple[int, int, str], list[tuple[int, int, int]]] = {}
    for interval, pid, tid, thread, attempts, hits in table.rows(
        "interval", "pid", "tid", "thread", "attempts", "hits"
    ):
        if tid:
            threads.setdefault((pid, tid, thread), []).append((interval, hits, attempts - hits))
    busiest = sorted(threads, key=lambda key: -sum(hits + misses for _, hits, misses in threads[key]))[:_THREADS]
    names = thread_labels(busiest)
    some = f"; the {_THREADS} busiest of {len(threads)} threads" if len(threads) > _THREADS else ""
    for title, place in (("Hits: polls a second that found packets", 1), ("Misses: polls a second that found none", 2)):
        lines = [
            Line(name, clock.rate([row[0] for row in threads[key]], [row[place] for row in threads[key]]))
            for name, key in zip(names, busiest, strict=True)
        ]
        yield Row(f"{title}{some}", lines)


def _packets(context: RunContext, table: Table, clock: Clock) -> Iterator[Row]:
    """Of the NAPI instances of the server's connections."""
    own = {napi.napi_id for napi in context.polling.napis}
    target, others = np.zeros(len(clock.start_s)), np.zeros(len(clock.start_s))
    for interval, tid, napi, packets, last in table.rows("interval", "tid", "napi_id", "packets", "last_poll_packets"):
        if napi in own:
            (target if tid else others)[interval] += packets + last
    softirq, napi_threads = np.zeros(len(clock.start_s)), np.zeros(len(clock.start_s))
    for interval, napi, threaded, packets in context.run.tables["softirq_polls"].rows(
        "interval", "napi_id", "threaded", "packets"
    ):
        if napi in own:
            (napi_threads if threaded else softirq)[interval] += packets
    lines = [
        Line(words, clock.per_second(counts), color)
        for words, counts, color in (
            ("by the server's busy polling", target, BLUE),
            ("by other pollers", others, TEAL),
            ("by softirq", softirq, ORANGE),
            ("by NAPI threads", napi_threads, GREY),
        )
        if counts.any()
    ]
    if lines:
        yield Row("Packets a second, by who took them", lines, stacked=True)
