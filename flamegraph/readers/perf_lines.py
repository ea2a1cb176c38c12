"""The lines of `perf script` text: headers of samples in every choice of `-F` fields, and frames."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from flamegraph.frames import Thread
from flamegraph.readers.text import decode

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


class Header(NamedTuple):
    """A sample's first line. `seconds` as the text has it, None where it has none; `period` 0 where there is none.

    `record` is set for the lines of `--show-…-events`, which are no samples: `LOST`, `MMAP2` …
    """

    thread: Thread
    seconds: float | None
    period: int
    event: str
    rest: bytes
    record: str = ""
    lost: int = 0


class RawFrame(NamedTuple):
    """A frame's line: hexadecimal address or "", symbol with its offset, module or "". The symbol is " " where its
    column is empty, "" where there is no such column.
    """

    address: str
    symbol: str
    module: str


def parse_header(line: bytes) -> Header | None:
    """The first line of a sample; None if it is none. A single number is the thread's (FlameGraph: `?/tid`)."""
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
    return Header(
        _thread(groups),
        _seconds(groups),
        int(groups["period"] or 0),
        decode(groups["event"] or b""),
        rest,
        record["type"].decode() if record else "",
        int(record["lost"] or 0) if record else 0,
    )


def parse_frame(line: bytes) -> RawFrame | None:
    """A frame: address, symbol, module in brackets, of which one may be absent; None if it is none."""
    rest, module = _split_module(line.strip())
    first, column, symbol = rest.partition(b" ")
    address = _ADDRESS.fullmatch(first)
    if address is None:
        # Without an address and a module it could be any text.
        return RawFrame("", decode(rest), decode(module)) if module and line[:1].isspace() else None
    return RawFrame(address[1].decode(), decode(symbol.lstrip() or column), decode(module))


def frame_in_header(rest: bytes) -> RawFrame | None:
    """The frame that stands in a sample's first line where no call chains were recorded."""
    frame = parse_frame(b" " + rest.strip())
    if frame is None or not frame.address or not (frame.module or (len(frame.address) > 7 and frame.symbol)):
        return None
    return frame


def is_source_line(line: bytes) -> bool:
    """What `-F srcline` adds below a frame: `  file.c:12`."""
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
    """What stands before the last bracket, and what is in it: `/a/b (deleted)` keeps its own brackets."""
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
