"""Rounds of a load generator: as tables of a Run, and as the pyperf suite `bench.json` in the Run's directory.

A round is one pyperf run with one value, so that `pyperf stats` and `pyperf compare_to` read the suite. pyperf takes
the lower of two values as the better one: the suite therefore has throughput as time per request; requests per second
are in the table `load_rounds`.
"""

from __future__ import annotations

import datetime
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.run.table import Table, declared_table

if TYPE_CHECKING:
    import pyperf

    from netprobe.run.model import Run

SUITE = "bench.json"
PERCENTILES = (50.0, 90.0, 99.0, 99.99)
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Round:
    """The result of one round."""

    started: float
    """Seconds since the epoch."""
    seconds: float
    requests: int
    errors: int
    latency_us: Mapping[int, int]
    """Latency in µs -> requests; wrk has corrected it for requests that it could not send in time."""

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds

    def percentile(self, percent: float) -> float:
        """The latency in µs that this share of the requests did not exceed."""
        return percentile(self.latency_us, percent)


def percentile(latency_us: Mapping[int, int], percent: float) -> float:
    """The smallest latency that this share of the requests did not exceed; 0 if there are no requests."""
    wanted = sum(latency_us.values()) * percent / 100
    requests = 0
    for us in sorted(latency_us):
        requests += latency_us[us]
        if requests >= wanted:
            return float(us)
    return 0.0


# ---- Tables of a Run ----


def round_tables(rounds: Sequence[Round]) -> list[Table]:
    """`load_rounds`: one row per round; `load_latency`: the whole distribution of each round."""
    columns: dict[str, Any] = {
        "round": list(range(1, len(rounds) + 1)),
        "started_s": [one.started for one in rounds],
        "duration_s": [one.seconds for one in rounds],
        "requests": [one.requests for one in rounds],
        "errors": [one.errors for one in rounds],
    }
    for percent in PERCENTILES:
        name = f"p{percent:g}_us".replace(".", "_")
        columns[name] = [one.percentile(percent) for one in rounds]
    rows = [(number, us, count) for number, one in enumerate(rounds, 1) for us, count in sorted(one.latency_us.items())]
    latency = {name: [row[place] for row in rows] for place, name in enumerate(("round", "latency_us", "requests"))}
    return [declared_table("load_rounds", columns), declared_table("load_latency", latency)]


def with_rounds(run: Run, rounds: Sequence[Round]) -> Run:
    """The Run with the tables of the rounds added."""
    from netprobe.run.model import Run as Model

    return Model(run.info, {**run.tables, **{table.name: table for table in round_tables(rounds)}})


def write_with_suite(run: Run, folder: Path, content: bytes) -> bool:
    """Write a Run and its bench.json, each atomically; True if a Run at that path was replaced."""
    from flamegraph.writers import written_atomically
    from netprobe.run.store import write_run

    replaced = write_run(run, folder)
    with written_atomically(folder / SUITE) as file:
        file.write(content)
    return replaced


# ---- bench.json ----


def suite(rounds: Sequence[Round], warm_ups: Sequence[Round], metadata: Mapping[str, str]) -> bytes:
    """The content of bench.json.

    `metadata` is added to every round. The benchmarks have the same names in all suites, so that pyperf compares them.
    """
    import pyperf

    shared = _machine() | dict(metadata)
    per_request = _benchmark("time per request", rounds, warm_ups, shared, lambda one: one.seconds / one.requests)
    latencies = [
        _benchmark(f"latency p{percent:g}", rounds, warm_ups, shared, _latency(percent)) for percent in PERCENTILES
    ]
    text = io.StringIO()
    pyperf.BenchmarkSuite([per_request, *latencies]).dump(text)
    return text.getvalue().encode()


def _latency(percent: float) -> Callable[[Round], float]:
    # pyperf refuses values of 0.
    return lambda one: max(one.percentile(percent), 0.5) / 1e6


def _benchmark(
    name: str,
    rounds: Sequence[Round],
    warm_ups: Sequence[Round],
    shared: Mapping[str, Any],
    value: Callable[[Round], float],
) -> pyperf.Benchmark:
    import pyperf

    runs = []
    for number, one in enumerate(rounds):
        # pyperf keeps warm-ups as a part of the first run.
        before = [(1, value(early)) for early in warm_ups] if not number else []
        own = {
            "name": name,
            "unit": "second",
            "date": datetime.datetime.fromtimestamp(one.started).isoformat(" "),
            "duration": one.seconds,
            "errors": one.errors,
        }
        runs.append(pyperf.Run([value(one)], before, {**shared, **own}, collect_metadata=False))
    return pyperf.Benchmark(runs)


def _machine() -> dict[str, Any]:
    """pyperf's description of the machine, without that of the Python interpreter that runs netprobe."""
    import pyperf

    found = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    wanted = ("hostname", "platform", "cpu_count", "cpu_model_name", "cpu_freq", "aslr", "boot_time", "load_avg_1min")
    return {name: found[name] for name in wanted if name in found}


@dataclass(frozen=True)
class RoundValues:
    """One benchmark of a suite: its name, pyperf's unit (`second`, `integer` …), and one value per round."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def is_time(self) -> bool:
        """Whether the values are seconds."""
        return self.unit == "second"


def read_rounds(folder: Path | None) -> list[RoundValues]:
    """The benchmarks in the bench.json of a Run; empty if the Run has none, or one that cannot be read."""
    if folder is None:
        return []
    try:
        if (folder / SUITE).stat().st_size > _MAX_BYTES:
            return []
        document = json.loads((folder / SUITE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return list(_benchmarks(document))


def _benchmarks(document: Any) -> Iterator[RoundValues]:
    shared = _mapping(document).get("metadata")
    for benchmark in _list(_mapping(document).get("benchmarks")):
        metadata = {**_mapping(shared), **_mapping(_mapping(benchmark).get("metadata"))}
        values = [value for run in _list(_mapping(benchmark).get("runs")) for value in _values(_mapping(run))]
        if values:
            # pyperf stores metadata that all rounds share once, and omits the unit of seconds.
            name, unit = str(metadata.get("name", "benchmark")), str(metadata.get("unit", "second"))
            yield RoundValues(name, unit, tuple(values))


def _values(run: dict[str, Any]) -> Iterator[float]:
    for value in _list(run.get("values")):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield float(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
