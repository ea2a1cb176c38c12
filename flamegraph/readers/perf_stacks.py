"""Stacks of `perf script` text by their raw lines: each line and each whole stack is parsed once."""

from __future__ import annotations

import re
from itertools import chain

from flamegraph.builder import Builder
from flamegraph.readers.perf_lines import is_source_line, parse_frame, parse_header
from flamegraph.readers.perf_names import frames_of

LONGEST_LINE = 1 << 20
_ADDRESS_ENDS = 18
_HEX = b"0123456789abcdef"
_REMEMBERED_BYTES = 1 << 27
# Where in a function a frame is changes neither its name nor its kind: only whether it is in the upper half, the
# kernel's. Constant beginnings make these fast.
_OFFSETS = re.compile(rb"\+0x[0-9a-f]+ \(")
_LOWER_HALF = re.compile(rb"\n\t +[0-9a-f]{1,15} ")
_UPPER_HALF = re.compile(rb"\n\t[89a-f][0-9a-f]{15} ")
_SOMEWHERE_LOW, _SOMEWHERE_HIGH = b"\n\t               0 ", b"\n\tffffffffffffffff "


class NotAFrameError(Exception):
    """A line in a stack is something else."""


class StackNumbers(dict[bytes, int]):
    """A stack's number by its lines, leaf first, without the last line end. Looking one up may raise
    `NotAFrameError`.
    """

    def __init__(self, builder: Builder, *, java: bool, addresses: bool) -> None:
        super().__init__()
        self._builder, self._addresses = builder, addresses
        self._lines = _LineNumbers(builder, java, addresses)
        self._named: dict[bytes, int] = {}
        self._bytes = 0

    @property
    def modules(self) -> bool:
        """Frames with their module in brackets were seen."""
        return self._lines.modules

    def __missing__(self, body: bytes) -> int:
        plain = self._without_places(body)
        number = self._named.get(plain)
        if number is None:
            lines = plain.split(b"\n")
            lines.reverse()
            stack = tuple(chain.from_iterable(map(self._lines.__getitem__, lines)))
            number = self._named[plain] = self._builder.stack(stack)
            self._bytes += len(plain)
        self._bytes += len(body)
        if self._bytes + self._lines.bytes > _REMEMBERED_BYTES:
            self._bytes = 0
            self.clear()
            self._named.clear()
            self._lines.forget()
        self[body] = number
        return number

    def _without_places(self, body: bytes) -> bytes:
        if self._addresses and b"[unknown]" in body:
            return body
        plain = _OFFSETS.sub(b" (", b"\n" + body)
        return _UPPER_HALF.sub(_SOMEWHERE_HIGH, _LOWER_HALF.sub(_SOMEWHERE_LOW, plain))[1:]

    def is_frame(self, line: bytes) -> bool:
        """Whether a line can stand in a stack."""
        try:
            return bool(self._lines[line]) or True
        except NotAFrameError:
            return False


class _LineNumbers(dict[bytes, tuple[int, ...]]):
    """The numbers of a line's frames: one, none, or several where one is inlined into another."""

    def __init__(self, builder: Builder, java: bool, addresses: bool) -> None:
        super().__init__()
        self._builder, self._java, self._addresses = builder, java, addresses
        self._named: dict[bytes, tuple[int, ...]] = {}
        self.bytes = 0
        self.modules = False

    def __missing__(self, line: bytes) -> tuple[int, ...]:
        if len(line) > LONGEST_LINE or b"\0" in line:
            raise NotAFrameError
        name = line if self._addresses else _without_address(line)
        numbers = self._named.get(name)
        if numbers is None:
            numbers = self._named[name] = self._parse(line)
            self.bytes += len(name)
        self.bytes += len(line)
        self[line] = numbers
        return numbers

    def _parse(self, line: bytes) -> tuple[int, ...]:
        if not line or is_source_line(line):
            return ()
        frame = None if _is_header(line) else parse_frame(line)
        if frame is None:
            raise NotAFrameError
        self.modules = self.modules or bool(frame.module)
        named = frames_of(frame, java=self._java, addresses=self._addresses)
        return tuple(self._builder.frame(one) for one in named)

    def forget(self) -> None:
        """Give the memory back."""
        self.bytes = 0
        self.clear()
        self._named.clear()


def _without_address(line: bytes) -> bytes:
    """What two lines of one function have in common: perf prints `\\t%16lx symbol+0x1f (module)`."""
    try:
        int(line[1 : _ADDRESS_ENDS - 1], 16)
    except ValueError:
        return line
    rest = line[_ADDRESS_ENDS - 1 :]
    symbol, found, tail = rest.rpartition(b"+0x")
    offset, blank, module = tail.partition(b" ")
    if not found or not blank or offset.strip(_HEX):
        return rest
    return symbol + blank + module


def _is_header(line: bytes) -> bool:
    return not line.startswith(b"\t") and parse_header(line) is not None
