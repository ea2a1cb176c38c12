"""Threads of one work: where one side does not say which threads did something, both are compared without them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.metrics import Group, Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Rows = dict[Metric, tuple[Floats, Floats | None]]


def with_common_roles(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows, with the sum over all threads where one side names none in a group."""
    bare = _nameless(before) | _nameless(after)
    return _summed(before, bare), _summed(after, bare)


def names_nobody(roles: Collection[str]) -> bool:
    """Whether there is something that was done, and nobody who did it."""
    return bool(roles) and not any(roles)


def _nameless(rows: Rows) -> set[Group]:
    groups = {metric.group for metric in rows}
    return {group for group in groups if names_nobody([metric.role for metric in rows if metric.group == group])}


def _summed(rows: Rows, bare: set[Group]) -> Rows:
    found: Rows = {}
    for metric, (counts, whole) in rows.items():
        of_all = replace(metric, role="") if metric.group in bare else metric
        earlier, of_earlier = found.get(of_all, (np.zeros_like(counts), np.zeros_like(counts)))
        found[of_all] = earlier + counts, None if whole is None or of_earlier is None else of_earlier + whole
    return found
