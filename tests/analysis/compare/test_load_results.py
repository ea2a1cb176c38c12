"""Results of load generators are compared; their rounds are the repetitions."""

import msgspec
import numpy as np
import pytest

import netprobe
from netprobe.analysis.compare.comparison import compare_sides, sides_of
from netprobe.load.rounds import Round, round_tables
from netprobe.run.description import RunInfo
from netprobe.run.model import Run
from netprobe.run.table import Table

NAMES = {"requests served", "latency p50", "latency p90", "latency p99", "latency p99.99"}


def bench(rate, seed, us=200, rounds=10, **tables):
    """A Run of `netprobe bench`: rounds of 1 s that differ by 1 %."""
    random = np.random.default_rng(seed)
    results = []
    for number in range(rounds):
        factor = 1 + 0.01 * random.standard_normal()
        served = round(rate * factor)
        results.append(
            Round(1.7e9 + number, 1.0, served, 0, {round(us / factor): served - 100, round(5 * us / factor): 100})
        )
    info = {
        "host": {}, "target": {"description": "load"}, "recording": {"seconds": float(rounds), "intervals": 0},
        "probes": [], "dropped": [], "unavailable": [], "attach_mechanisms": {},
        "requests": {"count": sum(one.requests for one in results), "source": "the load generator"},
    }  # fmt: skip
    return Run(msgspec.convert(info, RunInfo), {table.name: table for table in round_tables(results)} | tables)


def compared(a, b):
    return compare_sides(*sides_of(a, b))


def load_rows(found):
    return {row.name: row for row in found.rows if row.group == "load"}


def test_the_same():
    found = compared(bench(50_000, 1), bench(50_000, 2))
    rows = load_rows(found)
    assert set(rows) == NAMES
    assert {row.verdict for row in rows.values()} == {"within noise"}
    served = rows["requests served"]
    assert served.rate_a == pytest.approx(50_000, rel=0.01)
    assert (served.unit, served.per) == ("requests", "second")
    assert served.low_pct < 0 < served.high_pct
    assert found.per == "request"
    (sentence,) = found.skipped
    assert sentence.startswith("Skipped system calls, timeouts, ")


def test_less_throughput_and_longer_latencies():
    found = compared(bench(50_000, 1), bench(20_000, 2, us=600))
    rows = load_rows(found)
    served = rows["requests served"]
    assert served.verdict == "less"
    assert served.low_pct < -60 < served.high_pct < -30
    assert rows["latency p50"].verdict == "more"
    assert rows["latency p50"].rate_b == pytest.approx(600_000, rel=0.02)
    assert {row.name for row in found.regressions(10)} >= {"requests served", "latency p50"}
    assert not compared(bench(20_000, 2, us=600), bench(50_000, 1)).regressions()


def test_a_series_of_benchmarks_detects_smaller_changes():
    before, after = ([bench(rate, 10 * rate + seed) for seed in range(4)] for rate in (50_000, 47_000))
    assert load_rows(compared(before[0], after[0]))["requests served"].verdict == "within noise"
    served = load_rows(compared(before, after))["requests served"]
    assert served.verdict == "less"
    assert served.change_pct == pytest.approx(-6, abs=1)


def test_one_round_is_inconclusive():
    rows = load_rows(compared(bench(50_000, 1, rounds=1), bench(20_000, 2)))
    assert {row.verdict for row in rows.values()} == {"inconclusive"}


def report(rate):
    columns = {"quantity": ["requests", "latency"], "statistic": ["per second", "p99"], "value": [rate, 2e5],
               "unit": ["1/s", "ns"]}  # fmt: skip
    return Table("load_results", columns)


def test_a_benchmark_and_a_report():
    """The output of one wrk run has no spread."""
    imported = bench(50_000, 1)
    imported = Run(imported.info, {"load_results": report(51_000.0)})
    rows = load_rows(compared(bench(50_000, 1), imported))
    assert {name: row.verdict for name, row in rows.items()} == {
        "requests served": "inconclusive", "latency p99": "inconclusive"
    }  # fmt: skip
    assert rows["requests served"].rate_b == pytest.approx(51_000)


def test_a_recording_beside_a_benchmark(checkout):
    """`bench --record` has both: counts per interval, load per round."""
    sides = []
    for seed, name in enumerate(("faulty", "fixed")):
        run = netprobe.load(checkout / "dashboards" / "runs" / name)
        sides.append(Run(run.info, dict(run.tables) | dict(bench(20_000 * (1 + 2 * seed), seed).tables)))
    found = compared(*sides)
    assert load_rows(found)["requests served"].verdict == "more"
    assert {row.name for row in found.changed} >= {"recvfrom, reactor-N", "read, reactor-N"}
    assert not [one for one in found.skipped if "Skipped load" in one]
    alone = compared(sides[0], netprobe.load(checkout / "dashboards" / "runs" / "fixed"))
    assert "Skipped load: B has no table load_rounds (netprobe bench)" in alone.skipped
    # The rounds of a benchmark are not intervals of a recording.
    beside = compared(sides[0], bench(50_000, 3))
    assert {row.group for row in beside.rows} == {"load"}
    (sentence,) = beside.skipped
    assert "switches" in sentence
    assert sentence.endswith("CPU time: B has no table intervals (every recording)")
