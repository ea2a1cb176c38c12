"""Which of the events in a `perf script` text is read, and what its samples weigh."""

from __future__ import annotations

import re
from functools import lru_cache

from flamegraph.errors import ProfileError
from flamegraph.readers.perf_lines import Header

OTHER = -1.0
_REMEMBERED = 1 << 16
_MODIFIERS = re.compile(r"(?<=.):[a-zA-Z]{0,8}\Z")
# group:name: with arguments; `cycles:u:` has modifiers, which have no underscore.
_TRACEPOINT = re.compile(rb"[a-zA-Z0-9_]+:[a-zA-Z0-9]*_[a-zA-Z0-9_]*:")
_HEX = b"0123456789abcdef"
_CLOCKS = ("cpu-clock", "task-clock")


class Events:
    """Reads the event that is seen first, or the wanted one: `cycles` is also `cycles:u`."""

    def __init__(self, wanted: str | None) -> None:
        self._wanted = wanted
        self._seen: dict[str, None] = {}
        self._periods = False
        self.chosen = ""
        self.read: dict[bytes, bool] = {}
        """Whether an event's samples are read, by its name as it ends a first line that has a period: `cycles:`."""

    def weight(self, header: Header) -> float:
        """The period, 1 where there is none; `OTHER` for an event that is not read."""
        name = header.event
        if header.record or (not name and self._wanted):
            return OTHER
        if name:
            self._seen[name] = None
            if not self.chosen and (not self._wanted or self._wanted in (name, _MODIFIERS.sub("", name))):
                self.chosen = name
            if len(self.read) > _REMEMBERED:
                self.read.clear()
            if header.period:
                self.read[name.encode() + b":"] = name == self.chosen
            if name != self.chosen:
                return OTHER
        self._periods = self._periods or header.period > 0
        return float(header.period or 1)

    def of_nothing(self) -> float:
        """The weight of a stack without a first line."""
        return OTHER if self._wanted else 1.0

    @property
    def others(self) -> tuple[str, ...]:
        """Events that were seen and not read."""
        return tuple(name for name in self._seen if name != self.chosen)

    @property
    def unit(self) -> str:
        """What a weight counts: clocks have periods in nanoseconds."""
        if not self._periods:
            return "samples"
        name = _MODIFIERS.sub("", self.chosen)
        return "ns" if name in _CLOCKS else name or "periods"

    def fits(self, other: Events) -> bool:
        """Whether both read the same event."""
        return self.chosen == other.chosen

    def absorb(self, other: Events) -> None:
        """Add what another saw in a later part."""
        self._seen |= other._seen
        self._periods = self._periods or other._periods

    def check(self, name: str) -> None:
        """Raises `ProfileError` if the wanted event did not occur."""
        if self._wanted and not self.chosen:
            found = f"Choose one of {', '.join(self._seen)}." if self._seen else "Its samples do not name their event."
            raise ProfileError(f"{name} has no samples of the event {self._wanted}.", hint=found)


class AfterTime(dict[bytes, tuple[float, bytes]]):
    """What a first line says behind the time: weight, and the frame or b"".

    `      250000 cycles: ` is known when `cycles:` is: periods differ from sample to sample, and so do the arguments
    of tracepoints. A `KeyError` says that the line has to be parsed, and `learn` is to be called.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[tuple[bool, bytes], tuple[bool, bytes]] = {}
        self.leaves: dict[bytes, bytes] = {}
        """Frames in first lines of events that are read and have a period, by what stands behind the period:
        `cycles: 0 read (libc.so)`."""

    def __missing__(self, after: bytes) -> tuple[float, bytes]:
        period, event = _split(after)
        is_read, frame = self._events[period > 0, event]
        return (float(period or 1) if is_read else OTHER, frame)

    def learn(self, after: bytes, weight: float, frame: bytes) -> None:
        """Remember what a parsed line says."""
        for memory in (self, self._events, self.leaves):
            if len(memory) > _REMEMBERED:
                memory.clear()
        period, event = _split(after)
        if frame:
            frame = b" " + without_place(frame.strip())
        else:
            self[after] = (weight, frame)
        self._events[period > 0, event] = (weight >= 0, frame)
        if frame.startswith(b" 0 ") and weight >= 0 and period:
            self.leaves[event] = frame


def _split(after: bytes) -> tuple[int, bytes]:
    """The period, 0 for none, and what else decides how the sample is read."""
    words = after.split(None, 2)
    period = int(words.pop(0)) if words and words[0].isdigit() and len(words[0]) < 20 else 0
    if words and _is_tracepoint(words[0]):
        return period, words[0]
    if len(words) < 2:
        return period, b" ".join(words)
    return period, words[0] + b" " + without_place(b" ".join(words[1:]).strip())


@lru_cache(1024)
def _is_tracepoint(word: bytes) -> bool:
    return bool(_TRACEPOINT.fullmatch(word))


def without_place(frame: bytes) -> bytes:
    """`7f12 read+0x1f (libc.so)` as `0 read (libc.so)`: neither name nor kind depend on where in the function it is."""
    address, _, rest = frame.partition(b" ")
    symbol, found, tail = rest.rpartition(b"+0x")
    offset, blank, module = tail.partition(b" ")
    if not (found and blank and module.startswith(b"(")) or offset.strip(_HEX) or address.strip(_HEX):
        return frame
    return b"0 " + symbol + b" " + module
