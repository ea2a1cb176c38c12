"""The time that serving threads spend on requests: running, runnable, and blocked in calls that hold up a request.

Sleeps in which a thread waits for work (epoll, accept, receive from a client, an idle pool's futex) are no part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netprobe.analysis.time_budget import Sleep, SleepObject, TimeBudget

_SYNC = frozenset({"fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"})
# Nanoseconds of a sleep that belong to a kind, and on which objects.
_Selected = tuple[int, dict[SleepObject, int]]


@dataclass(frozen=True)
class Blocked:
    """Sleeps of one kind. `calls`: system call → nanoseconds; `sleeps`: how many ended; `threads`: that slept so."""

    total_ns: int
    sleeps: int
    calls: Counter[str]
    objects: Counter[SleepObject]
    threads: int

    @property
    def mean_ms(self) -> float:
        """Mean length of a sleep in milliseconds."""
        return self.total_ns / self.sleeps / 1e6 if self.sleeps else 0.0


class ServingTime:
    """The time of the threads that handle the messages of a Run, in nanoseconds.

    `over_tcp`: whether the clients' messages come over TCP; a Unix socket then leads to a backend.
    """

    def __init__(self, threads: Sequence[TimeBudget], over_tcp: bool) -> None:
        backend = ("connected", "unix") if over_tcp else ("connected",)
        self.threads = threads
        self.alive_ns = sum(row.alive_ns for row in threads)
        self.busy_ns = sum(row.running_ns + row.runnable_ns for row in threads)
        self.runnable_ns = sum(row.runnable_ns for row in threads)
        self.backend = self._blocked(lambda sleep: _slept_on(sleep, *backend))
        self.storage = self._blocked(_on_storage)
        self.to_client = self._blocked(_on_client)
        self.other = self._blocked(_otherwise)

    @property
    def request_ns(self) -> int:
        """Time spent on requests: busy or blocked."""
        return self.busy_ns + sum(one.total_ns for one in (self.backend, self.storage, self.to_client, self.other))

    def share_pct(self, ns: float) -> float:
        """A time in percent of the time spent on requests."""
        return min(100.0, 100 * ns / self.request_ns) if self.request_ns else 0.0

    def alive_pct(self, ns: float) -> float:
        """A time in percent of the time for which the threads were alive."""
        return 100 * ns / self.alive_ns if self.alive_ns else 0.0

    def _blocked(self, select: Callable[[Sleep], _Selected]) -> Blocked:
        calls: Counter[str] = Counter()
        objects: Counter[SleepObject] = Counter()
        sleeps, threads = 0.0, 0
        for row in self.threads:
            found_ns = 0
            for sleep in row.sleeps.values():
                ns, selected = select(sleep)
                if not ns:
                    continue
                found_ns += ns
                calls[sleep.reason] += ns
                objects.update(selected)
                # Sleeps are counted by call, so those on one object are estimated by their share of the time.
                sleeps += sleep.sleeps * ns / sleep.total_ns
            threads += found_ns > 0
        return Blocked(calls.total(), round(sleeps), calls, objects, threads)


def _slept_on(sleep: Sleep, *kinds: str) -> _Selected:
    selected = {one: ns for one, ns in sleep.objects.items() if one.kind in kinds}
    return min(sleep.total_ns, sum(selected.values())), selected


def _on_storage(sleep: Sleep) -> _Selected:
    """Files: all of fsync() and its like, and the uninterruptible part of other calls and of page faults."""
    if sleep.reason in _SYNC:
        return sleep.total_ns, {}
    ns = sleep.uninterruptible_ns if sleep.category in ("file", "page fault") else 0
    return ns, _slept_on(sleep, "file")[1] if ns else {}


def _on_client(sleep: Sleep) -> _Selected:
    """Sends to clients, which block while the send buffer is full."""
    return _slept_on(sleep, "accepted") if sleep.category == "send" else (0, {})


def _otherwise(sleep: Sleep) -> _Selected:
    """Timers, and answers over UDP, such as those of a DNS server that poll() waits for."""
    if sleep.category == "timer":
        return sleep.total_ns, {}
    return _slept_on(sleep, "datagram") if sleep.reason in ("poll", "ppoll", "connect") else (0, {})
