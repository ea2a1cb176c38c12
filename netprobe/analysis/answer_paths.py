"""Where an event loop sends, against where it receives: in one way of calls, or in two that part at the loop.

Read from the program's own part of the stacks that are in tcp_sendmsg, tcp_recvmsg and epoll. If the deepest function
that a send has in common with the receives also leads to the wait for events, it is the loop itself: the answers were
kept, and are sent in another part of its round.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from netprobe.analysis.frames import is_kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.frames import Frame
    from flamegraph.profile import Profile, Stacks

    Ints = npt.NDArray[np.int64]

Path = tuple[str, ...]

_KINDS = (
    ("send", re.compile(r"tcp_sendmsg(_locked)?$").match),
    ("receive", re.compile(r"tcp_recvmsg(_locked)?$").match),
    ("wait", re.compile(r"(ep_poll|do_epoll_p?wait2?|__(x64|arm64)_sys_epoll_p?wait2?)$").match),
)
# Everything that an interpreted program does is below these: they tell nothing of its own functions.
_INTERPRETER = re.compile(r"_PyEval_|PyEval_|lua[VD]_|lj_|vm_exec|rb_vm_|execute_ex|zend_|Interpreter|Builtins_").match
# The loop, what it calls for the answers, and that one's function that sends.
_FEWEST_APART = 2
_FEWEST_FRAMES = 3


@dataclass(frozen=True)
class AnswerPaths:
    """Samples in tcp_sendmsg: all, those with a way of calls that tells, and those that part at the loop."""

    sends: int
    telling: int
    apart: int
    loop: str = ""
    """The function where receiving and sending part."""
    kept_by: str = ""
    """What it calls for the answers."""
    received_by: str = ""
    """What it calls to receive."""


def answer_paths(profile: Profile) -> AnswerPaths:
    """Follow the sends of a profile."""
    paths = _paths(profile)
    receives = {path: count for path, count in paths["receive"].items() if len(path) >= _FEWEST_FRAMES}
    sends = paths["send"]
    received = _prefixes(receives)
    waited = _prefixes(paths["wait"])
    telling, apart = 0, 0
    parted: Counter[tuple[str, str, str]] = Counter()
    for path, count in sends.items():
        depth = max((n for n in range(1, len(path)) if path[:n] in received), default=0)
        if not depth or len(path) < _FEWEST_FRAMES:
            continue
        telling += count
        loop = path[depth - 1]
        if path[:depth] in waited and len(path) - depth >= _FEWEST_APART and not _INTERPRETER(loop):
            apart += count
            parted[loop, path[depth], received[path[:depth]].most_common(1)[0][0]] += count
    names = parted.most_common(1)[0][0] if parted else ("", "", "")
    return AnswerPaths(sum(sends.values()), telling, apart, *names)


def _paths(profile: Profile) -> dict[str, Counter[Path]]:
    """The program's part of every stack, root first, by what it ends in; with its samples."""
    stacks = profile.stacks
    counts = np.bincount(profile.samples.stack, profile.samples.count, len(stacks))
    # By number first: a name is looked at once for each frame, not once for each stack that it stands in.
    kinds = np.array([*map(_kind, profile.frames), -1])
    begins = _first(stacks, np.array([*map(is_kernel, profile.frames), False]))
    decides = _first(stacks, kinds >= 0, begins)
    found: dict[str, Counter[Path]] = defaultdict(Counter)
    for number in np.flatnonzero((decides < stacks.start[1:]) & (counts > 0)).tolist():
        way = stacks.frame[stacks.start[number] : begins[number]].tolist()
        kind, _ = _KINDS[kinds[stacks.frame[decides[number]]]]
        found[kind][tuple(_name(profile.frames[frame]) for frame in way)] += int(counts[number])
    return found


def _first(stacks: Stacks, chosen: npt.NDArray[np.bool_], begin: Ints | None = None) -> Ints:
    """Where in all stacks' frames the first chosen one of each stack stands, from `begin` on; its end if none does."""
    places = np.append(np.flatnonzero(chosen[stacks.frame]), len(stacks.frame))
    first: Ints = places[np.searchsorted(places, stacks.start[:-1] if begin is None else begin)]
    return np.minimum(first, stacks.start[1:])


def _name(frame: Frame) -> str:
    return frame.name if frame.kind is not Kind.UNKNOWN else f"{frame.name}?"


def _kind(frame: Frame) -> int:
    return next((number for number, (_, matches) in enumerate(_KINDS) if matches(frame.name)), -1)


def _prefixes(paths: dict[Path, int] | Counter[Path]) -> dict[Path, Counter[str]]:
    """Every beginning of the paths, with what comes next and how often."""
    found: dict[Path, Counter[str]] = defaultdict(Counter)
    for path, count in paths.items():
        for length in range(1, len(path) + 1):
            found[path[:length]][path[length] if length < len(path) else ""] += count
    return found
