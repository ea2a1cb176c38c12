"""Several profiles as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from flamegraph.profile import Profile, Samples, Stacks


def merged(profiles: Sequence[Profile]) -> Profile:
    """All samples of profiles of the same sort, in one; intervals stay numbered as each had them."""
    if len(profiles) == 1:
        return profiles[0]
    frames = list(accumulate((len(one.frames) for one in profiles), initial=0))
    stacks = list(accumulate((len(one.stacks) for one in profiles), initial=0))
    threads = list(accumulate((len(one.threads) for one in profiles), initial=0))
    places = list(accumulate((int(one.stacks.start[-1]) for one in profiles), initial=0))
    parts = [one.samples for one in profiles]
    samples = Samples(
        np.concatenate([part.stack + first for part, first in zip(parts, stacks, strict=False)]),
        np.concatenate([part.thread + first for part, first in zip(parts, threads, strict=False)]),
        np.concatenate([part.interval for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
    starts = [one.stacks.start[:-1] + first for one, first in zip(profiles, places, strict=False)]
    numbers = [one.stacks.frame + first for one, first in zip(profiles, frames, strict=False)]
    return Profile(
        [frame for one in profiles for frame in one.frames],
        Stacks(np.concatenate((*starts, [places[-1]])), np.concatenate(numbers)),
        [thread for one in profiles for thread in one.threads],
        samples,
        replace(profiles[0].info, seconds=sum(one.info.seconds for one in profiles)),
    )
