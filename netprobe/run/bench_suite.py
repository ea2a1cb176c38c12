"""Rounds of a load generator as a pyperf suite, for `pyperf stats` and `pyperf compare_to`, and as tables of a Run.

A round is one pyperf run with one value. pyperf takes less of every value for the better, so the suite has the
throughput as time per request only; requests a second are in the table `load_rounds`.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from netprobe.run.table import Table

if TYPE_CHECKING:
    import pyperf

PERCENTILES = (50.0, 90.0, 99.0, 99.99)
_NS = 1_000_000_000


class Measured(Protocol):
    """A round: when it began (seconds since the epoch), how long it took, what was answered, latencies in µs."""

    @property
    def started(self) -> float: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def requests(self) -> int: ...  # noqa: D102
    @property
    def errors(self) -> int: ...  # noqa: D102
    @property
    def latency_us(self) -> Mapping[int, int]: ...  # noqa: D102
    def percentile(self, percent: float) -> float: ...  # noqa: D102


def suite(rounds: Sequence[Measured], warm_ups: Sequence[Measured], metadata: Mapping[str, str]) -> bytes:
    """The content of bench.json. `metadata` goes with every round; names are the same in all suites: they compare."""
    import pyperf

    shared = _machine() | dict(metadata)
    per_request = _benchmark("time per request", rounds, warm_ups, shared, lambda one: one.seconds / one.requests)
    latencies = [
        _benchmark(f"latency p{percent:g}", rounds, warm_ups, shared, _latency(percent)) for percent in PERCENTILES
    ]
    text = io.StringIO()
    pyperf.BenchmarkSuite([per_request, *latencies]).dump(text)
    return text.getvalue().encode()


def round_tables(rounds: Sequence[Measured]) -> list[Table]:
    """`load_rounds`: a row a round; `load_latency`: the whole distribution of each."""
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
    rows = [
        (number, us, count)
        for number, one in enumerate(rounds, 1)
        for us, count in sorted(one.latency_us.items())
    ]  # fmt: skip
    latency = {name: [row[place] for row in rows] for place, name in enumerate(("round", "latency_us", "requests"))}
    return [Table("load_rounds", columns), Table("load_latency", latency)]


def _latency(percent: float) -> Any:
    return lambda one: max(one.percentile(percent), 0.5) / 1e6


def _benchmark(
    name: str,
    rounds: Sequence[Measured],
    warm_ups: Sequence[Measured],
    shared: Mapping[str, Any],
    value: Any,
) -> pyperf.Benchmark:
    import pyperf

    runs = []
    for number, one in enumerate(rounds):
        # pyperf has warm-ups as a part of the first run.
        before = [(1, value(early)) for early in warm_ups] if not number else []
        own = {
            "name": name,
            "unit": "second",
            "date": _date(one.started),
            "duration": one.seconds,
            "errors": one.errors,
        }
        runs.append(pyperf.Run([value(one)], before, {**shared, **own}, collect_metadata=False))
    return pyperf.Benchmark(runs)


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ")


def _machine() -> dict[str, Any]:
    """What pyperf itself says of the machine; nothing of the Python that netprobe runs on."""
    import pyperf

    found = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    wanted = ("hostname", "platform", "cpu_count", "cpu_model_name", "cpu_freq", "aslr", "boot_time", "load_avg_1min")
    return {name: found[name] for name in wanted if name in found}
