"""Tables that say something only together: one probe writes them all, and a Run that lost one has lost them."""

from __future__ import annotations

from collections.abc import Collection

from netprobe.run.profile import TABLES as PROFILE

_TOGETHER = {
    "stacks": PROFILE,
    # Without the softirq's polls all packets would seem to come by busy polling.
    "busy polling": (
        *("busy_polls", "softirq_polls", "napis"),
        *("polling_settings", "polling_sets", "polling_connections"),
    ),
}


def usable(names: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    """Those of the tables that can be read, and what of the rest is missing, in sentences."""
    left, dropped = list(names), []
    for what, tables in _TOGETHER.items():
        lost = [table for table in tables if table not in names]
        if lost and len(lost) < len(tables):
            dropped.append(f"what is there of {what} cannot be used: the Run has no table {' and no '.join(lost)}")
            left = [name for name in left if name not in tables]
    return tuple(left), dropped
