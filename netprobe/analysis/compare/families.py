"""System calls that do the same: where the two sides use several of a family, the family is compared as well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from netprobe.analysis.compare.metrics import EPOLL_WAITS, POLL_WAITS, Metric
from netprobe.analysis.requests import READS, RECEIVES, SENDS, WRITES

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Rows = dict[Metric, tuple[Floats, Floats | None]]

_FAMILIES = {
    EPOLL_WAITS: ("epoll_wait", "epoll_pwait", "epoll_pwait2"),
    POLL_WAITS: ("poll", "ppoll", "select", "pselect6"),
    "receives and reads of any form": (*RECEIVES, *READS),
    "sends and writes of any form": (*SENDS, *WRITES),
}
_FAMILY_OF = {call: family for family, calls in _FAMILIES.items() for call in calls}


def family_of(metric: Metric) -> Metric | None:
    """The same of all calls that do what this one does; None where there are no others."""
    if metric.group not in ("system calls", "timeouts") or metric.of != "time or requests":
        return None
    return replace(metric, name=_FAMILY_OF[metric.name]) if metric.name in _FAMILY_OF else None


def with_families(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both sides' rows, with one more for each family that both have, and of which they use several members."""
    families: dict[Metric, set[Metric]] = {}
    for metric in before.keys() | after.keys():
        if family := family_of(metric):
            families.setdefault(family, set()).add(metric)
    for family, members in sorted(families.items()):
        parts = [sorted(members & rows.keys()) for rows in (before, after)]
        if len(members) > 1 and all(parts):
            before, after = (
                {**rows, family: (np.sum([rows[member][0] for member in part], axis=0), None)}
                for rows, part in zip((before, after), parts, strict=True)
            )
    return before, after
