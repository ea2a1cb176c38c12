"""What the TCP connections of a server wait for, summed over connections: acknowledgments, the other side, buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netprobe.run.table import Table


@dataclass(frozen=True)
class TcpTotals:
    """Sums over connections; times in nanoseconds. `min_rtt_ns`: the median of the connections."""

    connections: int = 0
    observed_ns: float = 0.0
    busy_ns: int = 0
    receiver_limited_ns: int = 0
    buffer_limited_ns: int = 0
    data_segments: int = 0
    retransmitted: int = 0
    with_unsent: int = 0
    min_rtt_ns: int = 0

    def share_pct(self, ns: float) -> float:
        """A time in percent of the time for which the connections were observed."""
        return min(100.0, 100 * ns / self.observed_ns) if self.observed_ns else 0.0

    @property
    def busy_ms_per_segment(self) -> float:
        """Mean time until a segment with data was acknowledged, in milliseconds; 0 without segments."""
        return self.busy_ns / self.data_segments / 1e6 if self.data_segments else 0.0

    @property
    def waits_for_ack(self) -> bool:
        """Whether data is outstanding most of the time, for much longer than a round trip, on an unlimited connection.

        That is how Nagle's algorithm looks that holds back a small write until a delayed acknowledgment arrives.
        """
        limited_ns = self.receiver_limited_ns + self.buffer_limited_ns
        # Data that waits only for an answer to carry its acknowledgment is sent at once, and nothing is unsent.
        waiting = self.with_unsent * _UNSENT_OF >= self.connections
        slow = self.busy_ms_per_segment >= max(_MIN_ACK_MS, _MIN_ROUND_TRIPS * self.min_rtt_ns / 1e6)
        lossy = self.retransmitted > _MAX_LOSS * self.data_segments
        return (
            waiting
            and slow
            and not lossy
            and self.share_pct(self.busy_ns) >= _MIN_BUSY_PCT
            and limited_ns * 2 < self.busy_ns
        )


# The shortest delayed acknowledgment takes 40 ms (TCP_DELACK_MIN in include/net/tcp.h); a response may have several
# segments, of which one waits.
_MIN_ACK_MS = 5.0
# One of so many connections has unsent data at the last snapshot.
_UNSENT_OF = 4
_MIN_ROUND_TRIPS, _MIN_BUSY_PCT, _MAX_LOSS = 10, 50.0, 0.01


def tcp_totals(tables: Mapping[str, Table], *, accepted: bool) -> TcpTotals:
    """The connections that the server accepted, or those that it opened; zeros where the Run has none."""
    if "tcp_connections" not in tables:
        return TcpTotals()
    columns = (
        "accepted", "seconds", "busy_ns", "receiver_limited_ns", "buffer_limited_ns", "data_segments", "retransmitted",
        "unsent_bytes", "min_rtt_ns",
    )  # fmt: skip
    rows = [row[1:] for row in tables["tcp_connections"].rows(*columns) if row[0] == accepted and row[5]]
    if not rows:
        return TcpTotals()
    seconds, busy, receiver, buffer, segments, retransmitted, unsent, rtts = zip(*rows, strict=True)
    return TcpTotals(
        len(rows),
        1e9 * sum(seconds),
        sum(busy),
        sum(receiver),
        sum(buffer),
        sum(segments),
        sum(retransmitted),
        sum(map(bool, unsent)),
        _median(rtts),
    )


def _median(values: Iterable[int]) -> int:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
