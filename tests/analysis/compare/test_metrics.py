"""Metrics follow from the schema: a column that is declared as compared is counted, without code of its own."""

from dataclasses import replace
from string import Formatter

import pytest

from netprobe.analysis.compare import metrics
from netprobe.analysis.compare.metrics import Metric, Source, counts_of, needed_by_group, sources_of
from netprobe.run.schema.columns import Compared, TableSchema, count, text
from netprobe.run.schema.tables import compared_columns
from netprobe.run.table import Table

COMPARED = [(table, column, compared) for table, column, compared in compared_columns()]


@pytest.mark.parametrize(
    ("table", "column", "compared"), COMPARED, ids=[f"{table.name}.{column.name}" for table, column, _ in COMPARED]
)
def test_declarations_are_usable(table, column, compared):
    if compared.computed:
        assert table.name in {*metrics._COMPUTED, "profile_samples"}
        return
    fields = {name for _, name, *_ in Formatter().parse(compared.name + compared.detail) if name}
    assert fields | {"interval"} <= {declared.name for declared in table.columns}
    assert compared.name
    assert compared.unit
    assert (table.column("thread") is not None) is compared.by_role


@pytest.fixture
def declared(monkeypatch):
    """A schema with one table, which no probe fills yet."""
    table = TableSchema(
        "disk_reads",
        "Disk",
        "Reads from disks.",
        (
            count("interval", "interval"),
            text("thread", "name of the thread"),
            text("disk", "name of the disk"),
            count("reads", "reads", Compared("machine", "reads from {disk}", "reads")),
            replace(count("bytes", "bytes", Compared("machine", "bytes read", "bytes")), optional=True),
        ),
        probe="disk",
    )
    found = [(table, column, column.compared) for column in table.columns if column.compared]
    monkeypatch.setattr(metrics, "compared_columns", lambda: iter(found))
    for cached in (metrics._compared, metrics.needed_by_group):
        cached.cache_clear()
    yield table
    monkeypatch.undo()
    for cached in (metrics._compared, metrics.needed_by_group):
        cached.cache_clear()


def test_a_declared_column_is_counted(declared):
    columns = {"interval": [0, 1, 1], "thread": ["io-0", "io-1", "io-0"], "disk": ["sda", "sda", "sdb"],
               "reads": [3, 4, 5]}  # fmt: skip
    tables = {"disk_reads": Table("disk_reads", columns)}
    sources = sources_of(tables)
    assert sources == {Source("disk_reads", "reads")}
    counts = counts_of(tables, 2, {"io-0": "io-N", "io-1": "io-N"}, sources).counts
    assert {metric: values.tolist() for metric, values in counts.items()} == {
        Metric("machine", "reads from sda", "io-N", unit="reads"): [3, 4],
        Metric("machine", "reads from sdb", "io-N", unit="reads"): [0, 5],
    }
    table, column = needed_by_group()["machine"]
    assert (table.source, column.name) == ("probe disk", "reads")


def test_columns_that_a_run_lacks_are_not_counted(declared):
    assert sources_of({}) == frozenset()
    assert not counts_of({}, 2, {}, frozenset()).counts
