"""The lines of `perf script` text: the first line of a sample in each layout of `-F`, its event, and frames."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from flamegraph.errors import ProfileError
from flamegraph.frames import Thread
from flamegraph.readers.source import decode

_WHO = rb" *(?:(?P<comm>\S.{0,63}?) +)??(?:(?P<pid>-?\d{1,10})(?:/ *(?P<tid>-?\d{1,10}))? +)?(?:\[(?P<cpu>-?\d+)\] +)?"
_MISC = rb"(?:[KUHGhgSDE]{1,5} +)?"
_DAY = rb"(?:(?P<day>\d{4}-\d\d-\d\d) (?P<clock>\d\d:\d\d):)?"
_TIME = rb"(?P<time>\d{1,12}\.\d{1,9}):"
_PERIOD = rb"(?: +(?P<period>\d{1,19})(?=\s|$))?"
_EVENT = rb"(?: +(?P<event>[^\s\d(\[]\S*?):(?=\s|$))"
_TIMED = re.compile(_WHO + _MISC + _DAY + _TIME + _PERIOD + _EVENT + rb"?(?P<rest>(?:\s.*)?)", re.DOTALL)
_UNTIMED = re.compile(
    rb" *(?:(?P<comm>\S.{0,63}?) +)??(?P<pid>-?\d{1,10})(?:/ *(?P<tid>-?\d{1,10}))?(?: +\[(?P<cpu>-?\d+)\])?"
    + _PERIOD
    + rb"(?:"
    + _EVENT
    + rb"(?P<rest>.*)|\s*\Z)",
    re.DOTALL,
)
_RECORD = re.compile(rb"\s*PERF_RECORD_(?P<type>\w+)(?:.*\blost (?P<lost>\d{1,18}))?", re.DOTALL)
_ADDRESS = re.compile(rb"(?:0x)?([0-9a-f]{1,16})")
_SOURCE_LINE = re.compile(rb"\s+[^\s(]\S*(?::\d+|\[[0-9a-f]+\])\s*")
_FILE_OFFSET = re.compile(rb"\+0x[0-9a-f]+\Z")


class SampleHeader(NamedTuple):
    """The first line of a sample. `seconds`: None where the line has no time; `period`: 0 where it has none.

    `record`: set for lines of `--show-…-events`, which are not samples: `LOST`, `MMAP2` …
    """

    thread: Thread
    seconds: float | None
    period: int
    event: str
    rest: bytes
    record: str = ""
    lost: int = 0


class RawFrame(NamedTuple):
    """The line of a frame: hexadecimal address or "", symbol with its offset, module or "". The symbol is " " where its
    column is empty, "" where the text has no such column.
    """

    address: str
    symbol: str
    module: str


def parse_header(line: bytes) -> SampleHeader | None:
    """Parse the first line of a sample; None for any other line. A single number is the thread id, as in FlameGraph."""
    found = _TIMED.fullmatch(line)
    groups = found.groupdict() if found else {}
    if not groups:
        found = _UNTIMED.fullmatch(line)
        if not found:
            return None
        groups = found.groupdict()
        if not groups["event"] and not groups["comm"]:
            return None
    rest = groups["rest"] or b""
    record = _RECORD.match(rest)
    return SampleHeader(
        _thread(groups),
        _seconds(groups),
        int(groups["period"] or 0),
        decode(groups["event"] or b""),
        rest,
        record["type"].decode() if record else "",
        int(record["lost"] or 0) if record else 0,
    )


def parse_frame(line: bytes) -> RawFrame | None:
    """Parse a frame: address, symbol, module in brackets, any of which may be absent; None for any other line."""
    rest, module = _split_module(line.strip())
    first, column, symbol = rest.partition(b" ")
    address = _ADDRESS.fullmatch(first)
    if address is None:
        # Text without an address and a module could be anything.
        return RawFrame("", decode(rest), decode(module)) if module and line[:1].isspace() else None
    return RawFrame(address[1].decode(), decode(symbol.lstrip() or column), decode(module))


def frame_in_header(rest: bytes) -> RawFrame | None:
    """The frame in the first line of a sample where no call chains were recorded."""
    frame = parse_frame(b" " + rest.strip())
    if frame is None or not frame.address or not (frame.module or (len(frame.address) > 7 and frame.symbol)):
        return None
    return frame


def is_source_line(line: bytes) -> bool:
    """Whether the line is `  file.c:12`, which `-F srcline` adds below a frame."""
    return bool(_SOURCE_LINE.fullmatch(line))


def _thread(groups: dict[str, bytes | None]) -> Thread:
    comm = decode(groups["comm"] or b"")
    pid, tid = groups["pid"], groups["tid"]
    if pid is None:
        return Thread(-1, -1, comm)
    return Thread(-1, int(pid), comm) if tid is None else Thread(int(pid), int(tid), comm)


def _seconds(groups: dict[str, bytes | None]) -> float | None:
    time = groups.get("time")
    if time is None:
        return None
    day, clock = groups["day"], groups["clock"]
    if day is None or clock is None:
        return float(time)
    try:
        minute = datetime.strptime(f"{day.decode()} {clock.decode()}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return minute.timestamp() + float(time)


def _split_module(line: bytes) -> tuple[bytes, bytes]:
    """The text before the last bracket and the text inside it: `/a/b (deleted)` keeps its own brackets."""
    if not line.endswith(b")"):
        return line, b""
    depth, at = 0, len(line)
    while at > 0:
        at = max(line.rfind(b"(", 0, at), line.rfind(b")", 0, at))
        if at < 0:
            return line, b""
        depth += 1 if line[at : at + 1] == b")" else -1
        if depth == 0:
            break
    if at and line[at - 1 : at] not in (b" ", b"\t"):
        return line, b""
    module = line[at + 1 : -1]
    return line[: max(at - 1, 0)], _FILE_OFFSET.sub(b"", module.removesuffix(b" (deleted)"))


OTHER = -1.0
_REMEMBERED = 1 << 16
_MODIFIERS = re.compile(r"(?<=.):[a-zA-Z]{0,8}\Z")
# group:name: with arguments; `cycles:u:` has modifiers, which have no underscore.
_TRACEPOINT = re.compile(rb"[a-zA-Z0-9_]+:[a-zA-Z0-9]*_[a-zA-Z0-9_]*:")
_HEX = b"0123456789abcdef"
_CLOCKS = ("cpu-clock", "task-clock")


class Events:
    """Selects the first event, or the wanted one (`cycles` also selects `cycles:u`), and weighs its samples."""

    def __init__(self, wanted: str | None) -> None:
        self._wanted = wanted
        self._seen: dict[str, None] = {}
        self._periods = False
        self.chosen = ""
        self.read: dict[bytes, bool] = {}
        """Whether the samples of an event are read, by its name at the end of a first line with a period: `cycles:`."""

    def weight(self, header: SampleHeader) -> float:
        """The period, or 1 where the line has none; `OTHER` for an event that is not read."""
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

    def weight_without_header(self) -> float:
        """The weight of a stack without a first line."""
        return OTHER if self._wanted else 1.0

    @property
    def others(self) -> tuple[str, ...]:
        """Events of the text that are not read."""
        return tuple(name for name in self._seen if name != self.chosen)

    @property
    def unit(self) -> str:
        """The unit of a weight: periods of clocks are nanoseconds."""
        if not self._periods:
            return "samples"
        name = _MODIFIERS.sub("", self.chosen)
        return "ns" if name in _CLOCKS else name or "periods"

    def fits(self, other: Events) -> bool:
        """Whether both read the same event."""
        return self.chosen == other.chosen

    def absorb(self, other: Events) -> None:
        """Add the events of a later part of the text."""
        self._seen |= other._seen
        self._periods = self._periods or other._periods

    def check(self, name: str) -> None:
        """Raises `ProfileError` if the wanted event did not occur."""
        if self._wanted and not self.chosen:
            found = f"Choose one of {', '.join(self._seen)}." if self._seen else "Its samples do not name their event."
            raise ProfileError(f"{name} has no samples of the event {self._wanted}.", hint=found)


class AfterTime(dict[bytes, tuple[float, bytes]]):
    """Weight and frame (or b"") by the text after the time in a first line.

    Periods and the arguments of tracepoints differ from sample to sample, so `      250000 cycles: ` is looked up by
    `cycles:`. After a `KeyError` the caller parses the line and calls `learn`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[tuple[bool, bytes], tuple[bool, bytes]] = {}
        self.leaves: dict[bytes, bytes] = {}
        """Frames in first lines of events that are read and have a period, by the text after the period:
        `cycles: 0 read (libc.so)`."""

    def __missing__(self, after: bytes) -> tuple[float, bytes]:
        period, event = _split(after)
        is_read, frame = self._events[period > 0, event]
        return (float(period or 1) if is_read else OTHER, frame)

    def learn(self, after: bytes, weight: float, frame: bytes) -> None:
        """Store the result of a parsed line."""
        for table in (self, self._events, self.leaves):
            if len(table) > _REMEMBERED:
                table.clear()
        period, event = _split(after)
        if frame:
            frame = b" " + without_offset(frame.strip())
        else:
            self[after] = (weight, frame)
        self._events[period > 0, event] = (weight >= 0, frame)
        if frame.startswith(b" 0 ") and weight >= 0 and period:
            self.leaves[event] = frame


def _split(after: bytes) -> tuple[int, bytes]:
    """The period (0 for none), and the text that identifies event and frame."""
    words = after.split(None, 2)
    period = int(words.pop(0)) if words and words[0].isdigit() and len(words[0]) < 20 else 0
    if words and _is_tracepoint(words[0]):
        return period, words[0]
    if len(words) < 2:
        return period, b" ".join(words)
    return period, words[0] + b" " + without_offset(b" ".join(words[1:]).strip())


@lru_cache(1024)
def _is_tracepoint(word: bytes) -> bool:
    return bool(_TRACEPOINT.fullmatch(word))


def without_offset(frame: bytes) -> bytes:
    """`7f12 read+0x1f (libc.so)` as `0 read (libc.so)`: neither name nor kind depend on the offset in the function."""
    address, _, rest = frame.partition(b" ")
    symbol, found, tail = rest.rpartition(b"+0x")
    offset, blank, module = tail.partition(b" ")
    if not (found and blank and module.startswith(b"(")) or offset.strip(_HEX) or address.strip(_HEX):
        return frame
    return b"0 " + symbol + b" " + module
