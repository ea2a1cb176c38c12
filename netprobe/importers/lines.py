"""Text by lines, of bounded length and size; numbers and times as tools print them."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, NamedTuple

from netprobe.errors import NetprobeError

LONGEST_TEXT = 1 << 25
_LONGEST_LINE = 1 << 13
_CHUNK = 1 << 16
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d):(\d\d)")
_EPOCH = re.compile(r"\d{9,11}")
_NUMBER = re.compile(r"\d{1,18}(?:[.,]\d{1,12})?")
_COUNT = re.compile(r"\d{1,18}")
DAY = 86_400


class Line(NamedTuple):
    """A line of a text without its end; `number` counts from 1."""

    number: int
    text: str

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return not self.text or self.text.isspace()


def lines(stream: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of a text; what is beyond 8 KiB of a line is cut off.

    Raises `NetprobeError` where it is no text, or longer than `LONGEST_TEXT`.
    """
    number, size, rest = 0, 0, b""
    while chunk := _read(stream, name):
        size += len(chunk)
        _check(chunk, size, name)
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[:_LONGEST_LINE]
        for raw in whole:
            number += 1
            yield Line(number, _decoded(raw))
    if rest:
        yield Line(number + 1, _decoded(rest))


def _read(stream: BinaryIO, name: str) -> bytes:
    try:
        return stream.read(_CHUNK)
    except (OSError, EOFError, zlib.error) as error:
        raise NetprobeError(
            f"{name} cannot be read or unpacked to its end: {error}.", hint="Check that it was copied whole."
        ) from error


def _check(chunk: bytes, size: int, name: str) -> None:
    if b"\0" in chunk:
        raise NetprobeError(f"{name} is no text.", hint="Import what the tool printed, or a perf.data.")
    if size > LONGEST_TEXT:
        raise NetprobeError(
            f"{name} is longer than {LONGEST_TEXT >> 20} MiB, which no table of counts is.",
            hint="Import a part of it: head -c 32M, a larger interval, or fewer processes.",
        )


def _decoded(raw: bytes) -> str:
    text = raw[:_LONGEST_LINE].rstrip(b"\r").decode("utf-8", "backslashreplace")
    return _COLOURS.sub("", text) if "\x1b" in text else text


def number(text: str) -> float | None:
    """`12.50` or `12,50` as a number; None for anything else."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def count(text: str) -> int | None:
    """A whole number; None for anything else."""
    return int(text) if _COUNT.fullmatch(text) else None


def scaled(text: str, factor: int) -> float:
    """The number in the text times the factor, rounded once. Raises `ValueError` where it is none."""
    try:
        value = float(Decimal(text) * factor)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


def clock(words: list[str]) -> tuple[int, int] | None:
    """The time that a line begins with, in seconds of the day or of the epoch, and its number of words; or None."""
    if not words:
        return None
    if _EPOCH.fullmatch(words[0]):
        return int(words[0]), 1
    found = _CLOCK.fullmatch(words[0])
    if not found:
        return None
    hour, minute, second = (int(part) for part in found.groups())
    used = 1
    if len(words) > 1 and words[1].upper() in ("AM", "PM"):
        hour, used = hour % 12 + (12 if words[1].upper() == "PM" else 0), 2
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * 3600 + minute * 60 + second, used


def later(before: int, after: int) -> int:
    """Seconds from one time to the next, midnight allowed for."""
    passed = after - before
    return passed + DAY if passed < -DAY // 2 and before < DAY else passed


def of_clock(seconds: int) -> str:
    """13:05:00; a time of the epoch as it is."""
    if seconds >= DAY:
        return str(seconds)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
