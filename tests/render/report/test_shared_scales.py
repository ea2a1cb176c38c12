"""The charts of both sides have the same axes."""

import pytest

from netprobe.render.figures.run_figures import RunFigures
from netprobe.render.report.charts import Charts
from netprobe.render.report.shared_scales import decoded, share_scales


@pytest.fixture(scope="module")
def shared(run_named):
    charts = Charts()
    for side, name in (("a", "faulty"), ("b", "fixed")):
        figures = RunFigures(run_named(name))
        for figure in ("throughput", "syscalls", "locality", "switches"):
            charts.place(f"{side}-{figure}", getattr(figures, figure))
    share_scales(charts.figures)
    return charts.figures


def test_bars_of_both_sides_have_one_axis(shared):
    ends = [shared[f"{side}-syscalls"]["layout"]["xaxis"]["range"] for side in "ab"]
    assert ends[0] == ends[1]
    longest = max(sum(decoded(trace["x"]) for trace in shared[f"{side}-syscalls"]["data"]).max() for side in "ab")
    assert ends[0] == [0, pytest.approx(longest * 1.05)]


@pytest.mark.parametrize("figure", ["locality", "switches"])
def test_heat_maps_of_both_sides_have_one_colour_scale(shared, figure):
    maxima = [
        {trace["name"]: trace["zmax"] for trace in shared[f"{side}-{figure}"]["data"] if "zmax" in trace}
        for side in "ab"
    ]
    common = maxima[0].keys() & maxima[1].keys()
    assert common
    assert {name: maxima[0][name] for name in common} == {name: maxima[1][name] for name in common}


def test_rows_over_time_have_one_axis(shared):
    layouts = [shared[f"{side}-throughput"]["layout"] for side in "ab"]
    for axis in ("xaxis", "yaxis"):
        assert layouts[0][axis]["range"] == layouts[1][axis]["range"]


def test_bars_with_different_units_keep_their_axes():
    def bars(unit, value):
        return {"data": [{"type": "bar", "x": [value]}], "layout": {"xaxis": {"title": {"text": unit}}}}

    figures = {"a-syscalls": bars("per second", 2), "b-syscalls": bars("in total", 7)}
    share_scales(figures)
    assert all("range" not in one["layout"]["xaxis"] for one in figures.values())
