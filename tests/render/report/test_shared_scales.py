"""Charts of two Runs beside each other have the same axes."""

import pytest

from netprobe.render.figures.of_run import RunFigures
from netprobe.render.report.parts import Charts
from netprobe.render.report.shared_scales import numbers, share_scales


@pytest.fixture(scope="module")
def shared(run_named):
    charts = Charts()
    for side, name in (("a", "faulty"), ("b", "fixed")):
        figures = RunFigures(run_named(name))
        for figure in ("throughput", "syscalls", "locality", "switches"):
            charts.place(f"{side}-{figure}", getattr(figures, figure))
    share_scales(charts.figures)
    return charts.figures


def test_bars_of_both_sides_have_one_length(shared):
    ends = [shared[f"{side}-syscalls"]["layout"]["xaxis"]["range"] for side in "ab"]
    assert ends[0] == ends[1]
    longest = max(sum(numbers(trace["x"]) for trace in shared[f"{side}-syscalls"]["data"]).max() for side in "ab")
    assert ends[0] == [0, pytest.approx(longest * 1.05)]


@pytest.mark.parametrize("figure", ["locality", "switches"])
def test_maps_of_both_sides_have_one_colour_for_one_value(shared, figure):
    most = [
        {trace["name"]: trace["zmax"] for trace in shared[f"{side}-{figure}"]["data"] if "zmax" in trace}
        for side in "ab"
    ]
    common = most[0].keys() & most[1].keys()
    assert common
    assert {name: most[0][name] for name in common} == {name: most[1][name] for name in common}


def test_rows_over_time_have_one_axis(shared):
    layouts = [shared[f"{side}-throughput"]["layout"] for side in "ab"]
    for axis in ("xaxis", "yaxis"):
        assert layouts[0][axis]["range"] == layouts[1][axis]["range"]


def test_other_units_are_left_alone():
    def bars(unit, value):
        return {"data": [{"type": "bar", "x": [value]}], "layout": {"xaxis": {"title": {"text": unit}}}}

    figures = {"a-syscalls": bars("a second", 2), "b-syscalls": bars("in all", 7)}
    share_scales(figures)
    assert all("range" not in one["layout"]["xaxis"] for one in figures.values())
