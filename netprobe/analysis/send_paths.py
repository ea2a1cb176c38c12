"""Call paths of sends and receives in an event loop: one path, or two that branch at the loop.

The user frames of stacks in tcp_sendmsg, tcp_recvmsg and epoll are compared. If the deepest function that a send shares
with the receives also leads to the wait for events, that function is the event loop: the response was queued, and is
sent in another part of the iteration (a deferred write).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Kind
from netprobe.analysis.frame_shares import is_kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.frames import Frame
    from flamegraph.profile import Profile, Stacks

    Ints = npt.NDArray[np.int64]

CallPath = tuple[str, ...]

_KINDS = (
    ("send", re.compile(r"tcp_sendmsg(_locked)?$").match),
    ("receive", re.compile(r"tcp_recvmsg(_locked)?$").match),
    ("wait", re.compile(r"(ep_poll|do_epoll_p?wait2?|__(x64|arm64)_sys_epoll_p?wait2?)$").match),
)
# All functions of an interpreted program are below these frames, so the branch says nothing about the program.
_INTERPRETER = re.compile(r"_PyEval_|PyEval_|lua[VD]_|lj_|vm_exec|rb_vm_|execute_ex|zend_|Interpreter|Builtins_").match
# Calls from the loop to the send: the function that flushes the queue, and the function that sends.
_MIN_CALLS_BELOW_LOOP = 2
_MIN_FRAMES = 3


@dataclass(frozen=True)
class SendPaths:
    """Samples in tcp_sendmsg: all, those with a usable call path, and those that branch at the event loop."""

    sends: int
    traced: int
    deferred: int
    loop: str = ""
    """The function at which receiving and sending branch."""
    sent_by: str = ""
    """The function that the loop calls to send."""
    received_by: str = ""
    """The function that the loop calls to receive."""


def send_paths(profile: Profile) -> SendPaths:
    """Compare the call paths of the sends in a profile with those of the receives."""
    paths = _user_paths(profile)
    receives = {path: count for path, count in paths["receive"].items() if len(path) >= _MIN_FRAMES}
    sends = paths["send"]
    received = _prefixes(receives)
    waited = _prefixes(paths["wait"])
    traced, deferred = 0, 0
    branches: Counter[tuple[str, str, str]] = Counter()
    for path, count in sends.items():
        depth = max((n for n in range(1, len(path)) if path[:n] in received), default=0)
        if not depth or len(path) < _MIN_FRAMES:
            continue
        traced += count
        loop = path[depth - 1]
        if path[:depth] in waited and len(path) - depth >= _MIN_CALLS_BELOW_LOOP and not _INTERPRETER(loop):
            deferred += count
            branches[loop, path[depth], received[path[:depth]].most_common(1)[0][0]] += count
    names = branches.most_common(1)[0][0] if branches else ("", "", "")
    return SendPaths(sum(sends.values()), traced, deferred, *names)


def _user_paths(profile: Profile) -> dict[str, Counter[CallPath]]:
    """The user frames of each stack, root first, with the number of samples, by kind of call."""
    stacks = profile.stacks
    counts = np.bincount(profile.samples.stack, profile.samples.count, len(stacks))
    # Names are matched once per frame, not once per stack.
    kinds = np.array([*map(_kind, profile.frames), -1])
    kernel_entry = _first(stacks, np.array([*map(is_kernel, profile.frames), False]))
    decisive = _first(stacks, kinds >= 0, kernel_entry)
    found: dict[str, Counter[CallPath]] = defaultdict(Counter)
    for number in np.flatnonzero((decisive < stacks.start[1:]) & (counts > 0)).tolist():
        path = stacks.frame[stacks.start[number] : kernel_entry[number]].tolist()
        kind, _ = _KINDS[kinds[stacks.frame[decisive[number]]]]
        found[kind][tuple(_name(profile.frames[frame]) for frame in path)] += int(counts[number])
    return found


def _first(stacks: Stacks, chosen: npt.NDArray[np.bool_], begin: Ints | None = None) -> Ints:
    """The position of the first chosen frame of each stack, from `begin` on; the end of the stack if there is none."""
    places = np.append(np.flatnonzero(chosen[stacks.frame]), len(stacks.frame))
    first: Ints = places[np.searchsorted(places, stacks.start[:-1] if begin is None else begin)]
    return np.minimum(first, stacks.start[1:])


def _name(frame: Frame) -> str:
    return frame.name if frame.kind is not Kind.UNKNOWN else f"{frame.name}?"


def _kind(frame: Frame) -> int:
    return next((number for number, (_, matches) in enumerate(_KINDS) if matches(frame.name)), -1)


def _prefixes(paths: dict[CallPath, int] | Counter[CallPath]) -> dict[CallPath, Counter[str]]:
    """Every prefix of the paths, with the functions that follow it and their numbers of samples."""
    found: dict[CallPath, Counter[str]] = defaultdict(Counter)
    for path, count in paths.items():
        for length in range(1, len(path) + 1):
            found[path[:length]][path[length] if length < len(path) else ""] += count
    return found
