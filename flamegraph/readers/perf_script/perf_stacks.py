"""Stacks of `perf script` text: each line and each whole stack is parsed once."""

from __future__ import annotations

import re
from itertools import chain

from flamegraph.builder import Builder
from flamegraph.frames import UNKNOWN, Frame, Kind
from flamegraph.names import kind_of_module, tidy
from flamegraph.readers.perf_script.perf_lines import RawFrame, is_source_line, parse_frame, parse_header

LONGEST_LINE = 1 << 20
_ADDRESS_ENDS = 18
_HEX = b"0123456789abcdef"
_REMEMBERED_BYTES = 1 << 27
# Neither name nor kind of a frame depend on its offset in the function; the kind depends on whether the address is in
# the upper half, which belongs to the kernel. Constant prefixes make these patterns fast.
_OFFSETS = re.compile(rb"\+0x[0-9a-f]+ \(")
_LOWER_HALF = re.compile(rb"\n\t +[0-9a-f]{1,15} ")
_UPPER_HALF = re.compile(rb"\n\t[89a-f][0-9a-f]{15} ")
_SOMEWHERE_LOW, _SOMEWHERE_HIGH = b"\n\t               0 ", b"\n\tffffffffffffffff "


class NotAFrameError(Exception):
    """A line inside a stack that is not a frame."""


class StackNumbers(dict[bytes, int]):
    """Number of each stack by its lines, leaf first, without the last line end. A look-up may raise
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
        """Whether any frame had its module in brackets."""
        return self._lines.modules

    def __missing__(self, body: bytes) -> int:
        plain = self._without_offsets(body)
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
            self._lines.reset()
        self[body] = number
        return number

    def _without_offsets(self, body: bytes) -> bytes:
        if self._addresses and b"[unknown]" in body:
            return body
        plain = _OFFSETS.sub(b" (", b"\n" + body)
        return _UPPER_HALF.sub(_SOMEWHERE_HIGH, _LOWER_HALF.sub(_SOMEWHERE_LOW, plain))[1:]

    def is_frame(self, line: bytes) -> bool:
        """Whether a line is a frame."""
        try:
            return bool(self._lines[line]) or True
        except NotAFrameError:
            return False


class _LineNumbers(dict[bytes, tuple[int, ...]]):
    """The numbers of the frames of a line: one, none, or several where a function is inlined into another."""

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
        raw = None if _is_header(line) else parse_frame(line)
        if raw is None:
            raise NotAFrameError
        self.modules = self.modules or bool(raw.module)
        named = frames_of(raw, java=self._java, addresses=self._addresses)
        return tuple(self._builder.frame(frame) for frame in named)

    def reset(self) -> None:
        """Clear the table."""
        self.bytes = 0
        self.clear()
        self._named.clear()


def _without_address(line: bytes) -> bytes:
    """The part of a line that is equal for all offsets in a function; perf prints `\\t%16lx symbol+0x1f (module)`."""
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


_OFFSET = re.compile(r"\+0x[0-9a-f]+\Z")
_ONE_KERNEL = re.compile(r"\A\[(?:guest\.)?kernel\.(?:kallsyms|vmlinux)\]|(?:\A|/)vmlinux[^/]*\Z")
_KERNEL_HALF = "8"


def frames_of(raw: RawFrame, *, java: bool, addresses: bool) -> list[Frame]:
    """The frames of one line, caller first: `a->b` of a JIT is b inlined into a. Empty for names like `(comm)`."""
    symbol = _OFFSET.sub("", raw.symbol)
    if symbol.startswith("(") and not symbol.startswith("(anonymous namespace)"):
        return []
    kind = kind_of_module(raw.module)
    if not raw.module and len(raw.address) == 16 and raw.address >= _KERNEL_HALF:
        kind = Kind.KERNEL
    module = "[kernel]" if _ONE_KERNEL.search(raw.module) else raw.module
    if symbol in ("", UNKNOWN):
        return [Frame(_without_name(raw, addresses), "" if module == UNKNOWN else module, Kind.UNKNOWN)]
    if symbol.isspace():
        # FlameGraph uses this name, too.
        return [Frame(" ", module, Kind.UNKNOWN)]
    if raw.module == "inlined":
        return [Frame(tidy(symbol, java=java), "", Kind.INLINED)]
    if "->" not in symbol or (module and kind is not Kind.JIT):
        return [Frame(tidy(symbol, java=java), module, kind)]
    first, *inlined = symbol.split("->")
    return [Frame(tidy(first, java=java), module, kind)] + [
        Frame(tidy(name, java=java), module, Kind.INLINED) for name in inlined
    ]


def _without_name(raw: RawFrame, addresses: bool) -> str:
    known = raw.module not in ("", UNKNOWN)
    name = raw.module.rpartition("/")[2] if known else "unknown"
    return f"[{name} <{raw.address}>]" if addresses else f"[{name}]"
