"""Lines of a text, with limits on their length and on the size of the text; numbers as tools print them."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, NamedTuple

from netprobe.errors import NetprobeError

MAX_TEXT_BYTES = 1 << 25
_MAX_LINE_BYTES = 1 << 13
_CHUNK_BYTES = 1 << 16
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_NUMBER = re.compile(r"\d{1,18}(?:[.,]\d{1,12})?")
_COUNT = re.compile(r"\d{1,18}")


class Line(NamedTuple):
    """A line of a text without its newline; `number` counts from 1."""

    number: int
    text: str

    @property
    def blank(self) -> bool:
        """Whether the line is empty or has only spaces."""
        return not self.text or self.text.isspace()


def lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of a text, each truncated to 8 KiB.

    Raises `NetprobeError` if the content is not text, or is longer than `MAX_TEXT_BYTES`.
    """
    number, size, rest = 0, 0, b""
    while chunk := _read(stream, name):
        size += len(chunk)
        _check(chunk, size, name)
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[:_MAX_LINE_BYTES]
        for raw in whole:
            number += 1
            yield Line(number, _decoded(raw))
    if rest:
        yield Line(number + 1, _decoded(rest))


def _read(stream: BinaryIO, name: str) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise NetprobeError(
            f"{name} cannot be read or decompressed to its end: {error}.", hint="Check that the copy is complete."
        ) from error


def _check(chunk: bytes, size: int, name: str) -> None:
    if b"\0" in chunk:
        raise NetprobeError(f"{name} is not text.", hint="Import the output of a tool, or a perf.data.")
    if size > MAX_TEXT_BYTES:
        raise NetprobeError(
            f"{name} is longer than {MAX_TEXT_BYTES >> 20} MiB, the limit for reports.",
            hint="Import a part of the file: head -c 32M, a longer interval, or fewer processes.",
        )


def _decoded(raw: bytes) -> str:
    text = raw[:_MAX_LINE_BYTES].rstrip(b"\r").decode("utf-8", "backslashreplace")
    return _COLORS.sub("", text) if "\x1b" in text else text


def number(text: str) -> float | None:
    """`12.50` or `12,50` as a number; None for any other text."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def count(text: str) -> int | None:
    """A whole number; None for any other text."""
    return int(text) if _COUNT.fullmatch(text) else None


def scaled(text: str, factor: int) -> float:
    """The number in the text times the factor, rounded once. Raises `ValueError` for any other text."""
    try:
        value = float(Decimal(text) * factor)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value
