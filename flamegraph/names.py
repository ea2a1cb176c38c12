"""Folds the names of threads that do the same work: `timer-0`, `timer-1` → `timer-N`."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(.*?\D)(\d+)\Z", re.DOTALL)
# kworker/0:1, kworker/u8:3-events: one kind of thread for whoever looks from outside.
_KWORKER = re.compile(r"kworker/.*", re.DOTALL)


def fold_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> folded name. Only names of which there are at least two numbers fold: `python3` stays."""
    names = set(names)
    members: dict[str, set[str]] = {}
    for name in names:
        if numbered := _NUMBERED.match(name):
            members.setdefault(numbered[1], set()).add(name)
    folded = {name: name for name in names}
    folded |= {name: "kworker/N" for name in names if _KWORKER.match(name)}
    for prefix, group in members.items():
        if len(group) > 1 and not _KWORKER.match(prefix):
            folded |= dict.fromkeys(group, f"{prefix}N")
    return folded
