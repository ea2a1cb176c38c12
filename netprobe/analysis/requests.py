"""How many requests a server served while it was recorded: told by the load generator, or estimated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from netprobe.run.model import Run
from netprobe.run.table import thread_rows

RECEIVES, READS = ("recvfrom", "recvmsg", "recvmmsg"), ("read", "readv")
SENDS, WRITES = ("sendto", "sendmsg", "sendmmsg"), ("write", "writev")
_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")


@dataclass(frozen=True)
class Requests:
    """`count` in the time that was counted; `estimated` where it comes from the server's own receive calls."""

    count: float
    estimated: bool
    source: str
    """Where the number comes from, in words."""


def requests_of(run: Run) -> Requests | None:
    """What the user or the load generator said, else messages read from accepted connections; None without any.

    Of counts of system calls alone: the receive or send calls, whichever are fewer, since a request takes one of each.
    """
    told = run.info.requests
    if told and not told.count:
        # Nothing can be divided by none.
        return None
    if told:
        # A light recording has counted in a part of the time alone.
        share = run.seconds / run.elapsed_seconds if run.elapsed_seconds > 0 else 1.0
        scaled = f", scaled to the {run.seconds:.1f} s that were counted" if run.duty_cycled else ""
        return Requests(told.count * share, False, told.source + scaled)
    messages = run.tables.get("messages")
    if messages is None and run.imported:
        return _of_calls(run)
    if messages is None or "accepted" not in messages.columns:
        return None
    accepted = sum(row[-1] for row in thread_rows(run.tables, "messages", "accepted"))
    if not accepted:
        return None
    return Requests(accepted, True, "messages read from accepted connections")


def _of_calls(run: Run) -> Requests | None:
    calls: Counter[str] = Counter()
    for *_, syscall, made in thread_rows(run.tables, "syscalls", "syscall", "calls"):
        calls[syscall] += made
    received = max(calls[name] for name in (*RECEIVES, *READS))
    sent = max(calls[name] for name in SENDS)
    if not sent and any(calls[name] for name in (*RECEIVES, *_WAITS)):
        # Answers may be written; but reads and writes alone may all be of files.
        sent = max(calls[name] for name in WRITES)
    fewer = min(received, sent)
    return Requests(fewer, True, "the fewer of the receive and send calls") if fewer else None
