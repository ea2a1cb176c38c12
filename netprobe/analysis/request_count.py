"""The number of requests that a server handled during the recording: reported by the load generator, or estimated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from netprobe.run.model import Run
from netprobe.run.table import thread_rows

RECEIVES, READS = ("recvfrom", "recvmsg", "recvmmsg"), ("read", "readv")
SENDS, WRITES = ("sendto", "sendmsg", "sendmmsg"), ("write", "writev")
_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")


@dataclass(frozen=True)
class ServedRequests:
    """A number of requests in the recorded time; `estimated` if it is derived from the server's receive calls."""

    count: float
    estimated: bool
    source: str
    """The origin of the number, as text."""

    @property
    def unit(self) -> str:
        """`request`, or `message` where the number of requests is not known."""
        return "message" if self.estimated else "request"


def request_count(run: Run) -> ServedRequests | None:
    """The number from the user or the load generator, otherwise the messages read from accepted connections.

    Without counted messages the number of receive or send calls is used, whichever is smaller, since a request takes
    one of each. None if the number is not known.
    """
    reported = run.info.requests
    if reported and not reported.count:
        # Nothing can be divided by zero requests.
        return None
    if reported:
        # A duty-cycled recording has counted during its sampling windows only.
        share = run.seconds / run.elapsed_seconds if run.elapsed_seconds > 0 else 1.0
        scaled = f", scaled to the {run.seconds:.1f} s of its sampling windows" if run.duty_cycled else ""
        return ServedRequests(reported.count * share, False, reported.source + scaled)
    messages = run.tables.get("messages")
    if messages is None and run.imported:
        return _of_calls(run)
    if messages is None or "accepted" not in messages.columns:
        return None
    accepted = sum(row[-1] for row in thread_rows(run.tables, "messages", "accepted"))
    if not accepted:
        return None
    return ServedRequests(accepted, True, "messages read from accepted connections")


def _of_calls(run: Run) -> ServedRequests | None:
    calls: Counter[str] = Counter()
    for *_, syscall, count in thread_rows(run.tables, "syscalls", "syscall", "calls"):
        calls[syscall] += count
    received = max(calls[name] for name in (*RECEIVES, *READS))
    sent = max(calls[name] for name in SENDS)
    if not sent and any(calls[name] for name in (*RECEIVES, *_WAITS)):
        # Responses may be written. Reads and writes alone are no sign of a socket: all of them may be of files.
        sent = max(calls[name] for name in WRITES)
    fewer = min(received, sent)
    return ServedRequests(fewer, True, "receive or send calls, whichever are fewer") if fewer else None
