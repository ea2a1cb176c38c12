"""Run-to-run variation beyond load and intervals: the constants of netprobe/analysis/compare/noise.py.

python bench/aa_noise.py FOLDER...    folders that bench/aa.py recorded

For all pairs of Runs of one configuration (the two paced loads count as one): tau, the root mean square of the
logarithm of the ratio beyond load and the spread of the intervals, over sqrt(2); and the largest single excess.
"""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from netprobe import load
from netprobe.analysis.compare.metrics import Metric, role_names
from netprobe.analysis.compare.noise import explained_by_load
from netprobe.analysis.compare.sides import Side
from netprobe.analysis.compare.variance import RateTotals

# The counting error of fewer events is larger than the variation between recordings.
_MIN_EVENTS = 50


def _sides(folders: list[Path]) -> dict[str, list[Side]]:
    found: defaultdict[str, list[Side]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.glob("*/*")):
            if path.is_dir():
                name = path.parent.name.replace("-long", "").replace("-paced-24", "-paced-20")
                found[name].append(Side([load(path)], path.name))
    return found


def _kind(metric: Metric) -> str:
    if metric.by_others:
        return "by others"
    if metric.waits:
        return "calls that wait"
    return metric.name if metric.group == "switches" else metric.group


def _totals(side: Side, roles: dict[str, str]) -> dict[Metric, RateTotals]:
    rows = {metric: row for metric, (row, whole) in side.rows(roles, side.sources).items() if whole is None}
    profile = side.profiles[0]
    if profile.count:
        weight = profile.samples.weight * (profile.count / profile.total)
        rows[Metric("CPU time", "time on CPU")] = np.bincount(profile.samples.interval, weight, side.repetitions)
    exposure = side.exposure("request")
    return {metric: side.totals(row[None], exposure) for metric, row in rows.items()}


def _excess(first: RateTotals, second: RateTotals, before: Side, after: Side) -> tuple[float, float] | None:
    """Squared logarithm of the ratio beyond load, and the variance from the intervals."""
    if min(first.count[0], second.count[0]) < _MIN_EVENTS:
        return None
    loads = [(side.requests or 0.0) / side.seconds for side in (before, after)]
    low, high = np.log(explained_by_load(*loads, "request"))
    ratio = float(np.log(second.rate[0] / first.rate[0]))
    beyond = ratio - np.clip(ratio, low, high)
    return beyond**2, sum(max(one.variance[0], one.count[0]) / one.count[0] ** 2 for one in (first, second))


def main(folders: list[Path]) -> None:
    """Print the table."""
    found: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for sides in _sides(folders).values():
        roles = role_names(side.run.tables for side in sides)
        totals = [_totals(side, roles) for side in sides]
        for (a, first), (b, second) in itertools.combinations(zip(sides, totals, strict=True), 2):
            pinned = "pinned" if a.pinned and b.pinned else "free"
            for metric in first.keys() & second.keys():
                if pair := _excess(first[metric], second[metric], a, b):
                    found[_kind(metric), pinned].append(pair)
    print(f"{'':24} {'':8} {'pairs':>7} {'tau':>7} {'largest':>8}")
    for (kind, pinned), pairs in sorted(found.items()):
        beyond, within = np.array(pairs).T
        tau = np.sqrt(max(float((beyond - within).mean()) / 2, 0.0))
        print(f"{kind:24} {pinned:8} {len(pairs):7} {tau:7.3f} {np.sqrt(beyond.max() / 2):8.3f}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
