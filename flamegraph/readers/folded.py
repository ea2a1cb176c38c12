"""Folded stacks: a line `a;b;c 12` for each stack, root first, as FlameGraph's collapsers write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from flamegraph.builder import Builder
from flamegraph.errors import ProfileError
from flamegraph.foldedtext import parse_name
from flamegraph.frames import Thread
from flamegraph.profile import Info, Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.source import HEAD, Source
from flamegraph.readers.text import Salvager, lines

FORMAT = "folded stacks"
ORDER = 90

_LINE = re.compile(rb"[^\0]*[ \t](\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*")
_TWO_COLUMNS = re.compile(rb".*\S[ \t]+\d+(?:\.\d*)?[ \t]+\d+(?:\.\d*)?\s*")
_LONG = re.compile(rb"[^\0\n]*;[^\0\n]*")
_BLANK = b" \t\r"
# Names of a unit: ours, and how many of it one is.
_UNITS = {
    name: ("ns", scale)
    for scale, names in (
        (1.0, "ns nanoseconds"),
        (1e3, "us µs microseconds"),
        (1e6, "ms milliseconds"),
        (1e9, "s seconds"),
    )
    for name in names.split()
}


def recognises(head: bytes) -> bool:
    """Whether the first lines all end in a number."""
    *whole, last = head.split(b"\n")
    if len(head) < HEAD:
        whole.append(last)
    whole = [line for line in whole if line.strip(_BLANK) and not line.startswith(b"#")]
    if not whole:
        return len(head) >= HEAD and bool(_LONG.fullmatch(last))
    return bool(_LINE.fullmatch(whole[0]))


def read(source: Source, options: ReadOptions) -> Profile:
    """Read a profile of one nameless thread: the text does not say which element is the process.

    Raises `BrokenProfileError` naming the line.
    """
    salvager = Salvager(source.name, options.salvage)
    unit, scale = _UNITS.get(options.unit, (options.unit or "samples", 1.0))
    folded = _Folded(scale)
    for chunk in lines(source, salvager):
        if wrong := folded.add(chunk):
            salvager.broken(wrong)
            break
    folded.refuse_two_columns(source.name)
    return folded.profile(salvager, unit)


@dataclass
class _Folded:
    scale: float
    """What one of the text's numbers weighs."""
    builder: Builder = field(default_factory=Builder)
    frames: dict[bytes, int] = field(default_factory=dict)
    line: int = 0
    single: bool = False
    """A line was seen that can be no differential one."""
    stacks: int = 0

    def add(self, chunk: list[bytes]) -> str:
        """Add lines; returns what is wrong with the first that cannot be understood."""
        thread = self.builder.thread(Thread(-1, -1, ""))
        for line in chunk:
            self.line += 1
            stack, blank, number = line.rpartition(b" ")
            if not (blank and number.isdigit() and len(number) < 19 and b"\0" not in stack):
                if not line.strip(_BLANK):
                    continue
                found = _LINE.fullmatch(line)
                if not found or math.isinf(float(found[1])):
                    if line.startswith(b"#"):
                        continue
                    return f"Line {self.line} does not end in a number of samples"
                stack, number = line[: found.start(1) - 1], found[1]
            self.single = self.single or not _TWO_COLUMNS.fullmatch(line)
            self.builder.add(self.builder.stack(self._stack(stack)), thread, count=0, weight=float(number) * self.scale)
            self.stacks += 1
        return ""

    def _stack(self, text: bytes) -> list[int]:
        if not text:
            return []
        elements = text.split(b";")
        try:
            return [self.frames[element] for element in elements]
        except KeyError:
            return [self._frame(element) for element in elements]

    def _frame(self, element: bytes) -> int:
        number = self.frames.get(element)
        if number is None:
            # A byte that is no UTF-8 stands as \xff in the name; doubly escaped, it is not taken for an escape.
            text = element.decode("utf-8", "backslashreplace") if element.isascii() else _decoded(element)
            number = self.frames[element] = self.builder.frame(parse_name(text))
        return number

    def refuse_two_columns(self, name: str) -> None:
        if self.stacks > 1 and not self.single:
            raise ProfileError(
                f"{name} holds two columns of numbers: it is a comparison, and not a profile.",
                hint="Give the two profiles that it was made of to --diff.",
            )

    def profile(self, salvager: Salvager, unit: str) -> Profile:
        if not self.stacks:
            salvager.broken("There is no stack in it")
        return self.builder.profile(Info(unit=unit, notes=tuple(salvager.notes)))


def _decoded(element: bytes) -> str:
    pieces = element.decode("utf-8", "surrogateescape")
    return "".join(f"\\x5cx{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in pieces)
