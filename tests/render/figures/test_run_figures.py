"""Figures of real recordings draw the numbers of the tables."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import netprobe
from netprobe.errors import NetprobeError
from netprobe.render.figures.run_figures import NAMES
from netprobe.render.figures.theme import RED, SCALES, dark
from netprobe.run.table import Table

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def faulty():
    return netprobe.load(ROOT / "dashboards/runs/faulty")


@pytest.fixture(scope="module")
def polling():
    return netprobe.load(ROOT / "tests/data/runs/polling")


@pytest.fixture(scope="module")
def few():
    return netprobe.load(ROOT / "tests/data/runs/recv-few-probes")


def cells(figure):
    """(row, column) -> value of all heat maps but the empty background."""
    found = Counter()
    for trace in figure.data:
        if trace.type != "heatmap" or trace.meta["scale"] == "empty":
            continue
        for row, values in enumerate(trace.z):
            for column, value in enumerate(values):
                found[row, column] += value or 0
    return +found


def test_locality(faulty):
    table = faulty.table("messages")
    wanted = table[table["rx_cpu"] >= 0].groupby(["rx_cpu", "cpu"])["messages"].sum()
    assert cells(faulty.figures.locality()) == Counter(wanted.to_dict())
    good, bad = (
        sum(value or 0 for row in trace.z for value in row)
        for trace in faulty.figures.locality().data
        if trace.type == "heatmap" and trace.meta["scale"] in ("good", "bad")
    )
    local = table[table["rx_cpu"] == table["cpu"]]["messages"].sum()
    assert (good, bad) == (local, wanted.sum() - local)
    assert bad > 100 * good


def test_locality_of_a_thread(faulty):
    table = faulty.table("messages")
    own = table[table["thread"] == "reactor-0"]["messages"].sum()
    assert cells(faulty.figures.locality(thread="reactor-0")).total() == own
    with pytest.raises(NetprobeError, match="No thread 'nobody'") as refused:
        faulty.figures.locality(thread="nobody")
    assert "reactor-1" in refused.value.hint


def wrong_links(figure):
    return [trace for trace in figure.data if trace.line.color == RED]


def test_reuseport_draws_wrong_links_red_and_dashed(faulty):
    (wrong,) = wrong_links(faulty.figures.reuseport())
    assert wrong.line.dash == "dash"
    ends = [(wrong.y[place], wrong.y[place + 24]) for place in (0, 26)]
    assert sorted(ends) == [(0, 1), (1, 0)]
    fixed = netprobe.load(ROOT / "dashboards/runs/fixed").figures.reuseport()
    assert wrong_links(fixed) == []
    assert {trace.name for trace in fixed.data} == {"right"}
    unsteered = netprobe.load(ROOT / "dashboards/runs/unsteered").figures.reuseport()
    assert {trace.name for trace in unsteered.data} == {"not steered: gets packets of any CPU"}


def test_reuseport_of_a_group(faulty):
    assert faulty.figures.reuseport(group=0) == faulty.figures.reuseport()
    with pytest.raises(NetprobeError, match="no group 1"):
        faulty.figures.reuseport(group=1)


@pytest.mark.parametrize("per", ["request", "second"])
def test_syscalls(faulty, per):
    calls = faulty.table("syscalls")["calls"].sum()
    accepted = faulty.table("messages")["accepted"].sum()
    figure = faulty.figures.syscalls(per=per)
    drawn = sum(sum(trace.x) for trace in figure.data)
    assert drawn == pytest.approx(calls / (accepted if per == "request" else faulty.seconds), rel=1e-3)
    threads = set(faulty.table("syscalls")["thread"])
    assert set(figure.layout.yaxis.ticktext) == threads
    with pytest.raises(ValueError, match="minute"):
        faulty.figures.syscalls(per="minute")


def test_classes_of_timeouts_are_distinguished(polling):
    (waits,) = (trace for trace in polling.figures.syscalls().data if "timeout" in trace.name)
    assert waits.name == "epoll_pwait2, timeout &gt; 0"
    assert waits.marker.pattern.shape == "/"


def test_switches(faulty):
    table = faulty.table("next_tasks")
    wanted = table[(table["thread"].str.startswith("reactor")) & (table["next_thread"].str.startswith("timer"))]
    figure = faulty.figures.switches()
    preempted = next(trace for trace in figure.data if trace.name == "preempted by")
    names = list(figure.layout.xaxis.ticktext)
    row = [title.startswith("reactor-N") for title in figure.layout.yaxis.ticktext].index(True)
    value = preempted.z[row][names.index("timer-N")]
    assert value == pytest.approx(wanted["involuntary"].sum() / faulty.seconds)
    assert figure.layout.yaxis.ticktext[row] == "reactor-N × 2"
    assert "reactor-1" in faulty.figures.switches(fold=False).layout.yaxis.ticktext


def by_title(figure):
    """Title of a row -> lines in it."""
    rows = {}
    for trace in figure.data:
        number = int(trace.yaxis[1:] or 1)
        rows.setdefault(figure.layout.annotations[number - 1].text.strip("</b>"), []).append(trace)
    return rows


def counts(figure, title, run):
    """What the lines of a row add up to over the recording."""
    durations = run.table("intervals")["duration_s"].to_numpy()
    (lines,) = (lines for name, lines in by_title(figure).items() if name.startswith(title))
    return sum((np.asarray(line.y)[1:-1] * durations).sum() for line in lines)


def test_busy_polling(polling):
    table = polling.table("busy_polls")
    own = table[table["tid"] != 0]
    figure = polling.figures.busypoll()
    assert counts(figure, "Hits", polling) == pytest.approx(own["hits"].sum())
    assert counts(figure, "Misses", polling) == pytest.approx((own["attempts"] - own["hits"]).sum())
    named = {line.name: line for line in by_title(figure)["Packets per second, by receiver"]}
    durations = polling.table("intervals")["duration_s"].to_numpy()
    taken = (np.asarray(named["by the server's busy polling"].y)[1:-1] * durations).sum()
    mine = own[own["napi_id"] == 4208]
    assert taken == pytest.approx((mine["packets"] + mine["last_poll_packets"]).sum())


def test_over_time(polling):
    figure = polling.figures.over_time()
    assert counts(figure, "Requests", polling) == pytest.approx(polling.table("messages")["accepted"].sum())
    assert counts(figure, "System calls", polling) == pytest.approx(polling.table("syscalls")["calls"].sum())
    switches = polling.table("switches")
    total = switches["voluntary"].sum() + switches["involuntary"].sum()
    assert counts(figure, "Context switches", polling) == pytest.approx(total)
    assert {trace.xaxis or "x" for trace in figure.data} == {"x"}
    assert len(by_title(polling.figures.over_time(requests=False))) == len(by_title(figure)) - 1


def test_latency_of_a_benchmark(polling, tmp_path):
    import pyperf

    def benchmark(name, unit, values):
        runs = [pyperf.Run([value], metadata={"name": name, "unit": unit}, collect_metadata=False) for value in values]
        return pyperf.Benchmark(runs)

    suite = pyperf.BenchmarkSuite(
        [
            benchmark("time per request", "second", [1 / 5000, 1 / 5100, 1 / 5200]),
            benchmark("latency p99", "second", [0.002, 0.003, 0.0025]),
        ]
    )
    suite.dump(str(tmp_path / "bench.json"))
    rounds = Table("load_rounds", {"requests": [5000, 10200, 5200], "duration_s": [1.0, 2.0, 1.0]})
    few = netprobe.Run(polling.info, {"load_rounds": rounds}, tmp_path)
    (latency,) = few.figures.latency().data
    assert latency.name == "latency p99"
    assert list(latency.y) == pytest.approx([2.0, 3.0, 2.5])
    (rate,) = few.figures.throughput().data
    assert list(rate.y) == [5000, 5100, 5200]


def test_a_notebook_displays_the_flame_graph(faulty):
    assert "<iframe" in faulty.figures.flamegraph()._repr_html_()


def test_available_figures(faulty, few):
    assert set(faulty.figures.available()) == set(NAMES)
    lacking = {name for name, why in faulty.figures.available().items() if why}
    # The recorded Runs have no time of threads.
    assert lacking == {"busypoll", "latency", "threads"}
    assert "No busy polling" in faulty.figures.available()["busypoll"]
    assert {name for name, why in few.figures.available().items() if not why} == {"syscalls", "over_time", "flamegraph"}
    for name in ("locality", "reuseport", "switches", "busypoll"):
        with pytest.raises(NetprobeError, match="needs the probe"):
            getattr(few.figures, name)()


def test_dark(faulty):
    light = faulty.figures.locality()
    shown = dark(light)
    assert shown.layout.template.layout.paper_bgcolor != light.layout.template.layout.paper_bgcolor
    assert [color for _, color in shown.data[1].colorscale] == SCALES["dark"]["good"]
    assert [color for _, color in light.data[1].colorscale] == SCALES["light"]["good"]
