"""Folded stacks: one line `a;b;c 12` per stack, root first, as FlameGraph's collapsers write them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flamegraph.errors import ProfileError
from flamegraph.foldedtext import parse_name
from flamegraph.frames import Thread
from flamegraph.readers.source import HEAD, InputSource, Salvager, lines

if TYPE_CHECKING:
    from flamegraph.builder import Builder
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions

FORMAT = "folded stacks"
IS_TEXT = True
ORDER = 90

_LINE = re.compile(rb"[^\0]*[ \t](\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*")
_TWO_COLUMNS = re.compile(rb".*\S[ \t]+\d+(?:\.\d*)?[ \t]+\d+(?:\.\d*)?\s*")
_LONG = re.compile(rb"[^\0\n]*;[^\0\n]*")
_BLANK = b" \t\r"
# Unit of the profile and factor, by the name of a unit.
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
    """Whether the first line ends in a number."""
    *complete, last = head.split(b"\n")
    if len(head) < HEAD:
        complete.append(last)
    complete = [line for line in complete if line.strip(_BLANK) and not line.startswith(b"#")]
    if not complete:
        return len(head) >= HEAD and bool(_LONG.fullmatch(last))
    return bool(_LINE.fullmatch(complete[0]))


def read(source: InputSource, options: ReadOptions) -> Profile:
    """Read a profile of one thread without a name: the text does not mark the element that is the process.

    Raises `BrokenProfileError` with the line number.
    """
    from flamegraph.builder import Builder

    salvager = Salvager(source.name, options.salvage)
    unit, scale = _UNITS.get(options.unit, (options.unit or "samples", 1.0))
    folded = _Folded(Builder(), scale)
    for chunk in lines(source, salvager):
        if error := folded.add(chunk):
            salvager.broken(error)
            break
    folded.refuse_two_columns(source.name)
    return folded.profile(salvager, unit)


@dataclass
class _Folded:
    builder: Builder
    scale: float
    """Weight of the number 1 in the text."""
    frames: dict[bytes, int] = field(default_factory=dict)
    line: int = 0
    single: bool = False
    """Whether any line has only one number, so that the text is not differential."""
    stacks: int = 0

    def add(self, chunk: list[bytes]) -> str:
        """Add lines up to the first that cannot be parsed; returns the error, or ""."""
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
            # A byte that is not UTF-8 becomes \xff in the name; its backslash is escaped, so that it stays literal.
            text = element.decode("utf-8", "backslashreplace") if element.isascii() else _decoded(element)
            number = self.frames[element] = self.builder.frame(parse_name(text))
        return number

    def refuse_two_columns(self, name: str) -> None:
        if self.stacks > 1 and not self.single:
            raise ProfileError(
                f"{name} has two columns of numbers: it is a comparison, not a profile.",
                hint="Pass the two profiles that were compared to --diff.",
            )

    def profile(self, salvager: Salvager, unit: str) -> Profile:
        if not self.stacks:
            salvager.broken("It contains no stack")
        from flamegraph.profile import Info

        return self.builder.profile(Info(unit=unit, notes=tuple(salvager.notes)))


def _decoded(element: bytes) -> str:
    pieces = element.decode("utf-8", "surrogateescape")
    return "".join(f"\\x5cx{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in pieces)
