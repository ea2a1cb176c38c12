"""The flat table: functions by their own weight and by all that they call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flamegraph.frames import Frame

if TYPE_CHECKING:
    from flamegraph.profile import Profile


class TopRow(NamedTuple):
    """A function; weights in the profile's unit. A function that calls itself counts once in `total`."""

    frame: Frame
    own: float
    total: float
    samples: int
    """Samples in the function itself."""


def top(profile: Profile, rows: int = 30) -> list[TopRow]:
    """Functions, most weight of their own first; 0 = all."""
    stacks, samples = profile.stacks, profile.samples
    weight = np.bincount(samples.stack, samples.weight, len(stacks))
    count = np.bincount(samples.stack, samples.count, len(stacks))
    owner = np.repeat(np.arange(len(stacks)), stacks.depth)
    seen = np.unique(owner * max(len(profile.frames), 1) + stacks.frame)
    in_stack, frame = np.divmod(seen, max(len(profile.frames), 1))
    total = np.bincount(frame, weight[in_stack], len(profile.frames))
    filled = np.flatnonzero(stacks.depth)
    leaf = stacks.frame[stacks.start[1:][filled] - 1]
    own = np.bincount(leaf, weight[filled], len(profile.frames))
    own_count = np.bincount(leaf, count[filled], len(profile.frames))
    order = np.lexsort((-total, -own))
    chosen = order[total[order] > 0]
    chosen = chosen[:rows] if rows else chosen
    return [TopRow(profile.frames[i], float(own[i]), float(total[i]), int(own_count[i])) for i in chosen.tolist()]
