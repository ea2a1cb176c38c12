"""Figures of two real Runs."""

from pathlib import Path

import numpy as np
import pytest

import netprobe
from netprobe.errors import NetprobeError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def comparison():
    return netprobe.compare(*(netprobe.load(ROOT / "dashboards/runs" / name) for name in ("faulty", "fixed")))


def test_changes(comparison):
    changed = [row for row in comparison.changed if row.kind == "metric"]
    figure = comparison.figures.changes(top=0)
    drawn = {}
    for trace in figure.data:
        for place, ratio, text in zip(trace.y, trace.x, trace.text, strict=True):
            drawn[figure.layout.yaxis.ticktext[place]] = (ratio, text)
    assert len(drawn) == len(changed)
    gone = next(row for row in changed if row.verdict == "gone")
    assert drawn[gone.name] == (1 / 32, "gone")
    for row in changed:
        if row.verdict in ("more", "less") and row.rate_a and 1 / 32 < row.rate_b / row.rate_a < 32:
            assert drawn[row.name][0] == pytest.approx(row.rate_b / row.rate_a)
    assert len(comparison.figures.changes(top=2).layout.yaxis.ticktext) == 2


def test_confidence_intervals_contain_their_changes(comparison):
    for trace in comparison.figures.changes(top=0).data:
        assert all(length >= 0 for length in (*trace.error_x.array, *trace.error_x.arrayminus))


def test_over_time_has_both_sides(comparison):
    figure = comparison.figures.over_time()
    for side, run in (("A", comparison.a.run), ("B", comparison.b.run)):
        line = next(trace for trace in figure.data if trace.name == side)
        intervals = run.table("intervals")
        served = (np.asarray(line.y)[1:-1] * intervals["duration_s"].to_numpy()).sum()
        assert served == pytest.approx(run.table("messages")["accepted"].sum())


def test_each_side_has_figures_of_its_own(comparison):
    assert comparison.figures.a.locality() != comparison.figures.b.locality()


def test_flamegraph(comparison, tmp_path):
    shown = comparison.figures.flamegraph()
    assert "<iframe" in shown._repr_html_()
    shown.write(tmp_path / "diff.html")
    assert (tmp_path / "diff.html").stat().st_size > 10_000


def test_nothing_changed():
    run = netprobe.load(ROOT / "tests/data/runs/read")
    same = netprobe.compare(run, run)
    with pytest.raises(NetprobeError, match="no metric changed"):
        same.figures.changes()
    assert set(same.figures.available()) == {"changes", "over_time", "flamegraph"}


def test_a_notebook_displays_runs_and_comparisons(comparison):
    shown = comparison._repr_mimebundle_()["text/html"]
    assert "3 findings went away" in shown
    assert "Changes" in shown
    run = comparison.a.run._repr_mimebundle_()
    assert run["text/plain"].startswith("<Run of process")
    assert "reuseport-order" in run["text/html"]
    assert "<script" not in shown + run["text/html"]
