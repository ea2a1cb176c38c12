"""Reports of wrk, wrk2 and others of its kind, such as twrk with minima and the 99.99th percentile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from netprobe.importers.lines import Line, scaled
from netprobe.importers.report import Contents, Context, Kind, Parser, Taken
from netprobe.run.table import Table

FORMAT = "wrk"
KIND: Kind = "load"
HINTS = ("Running ",)

_BEGIN = re.compile(r"\s*Running (\S{1,20}) test @(.{0,300})")
_SIZES = re.compile(r"\s*(\d{1,9}) threads and (\d{1,9}) connections\s*")
_COLUMNS = re.compile(r"\s*Thread Stats\s+(\S.*)")
_STATISTICS = re.compile(r"\s*(Latency|Req/Sec)\s+(\S.*)")
_DISTRIBUTION = re.compile(r"\s*Latency Distribution\b.*")
_PERCENTILE = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)%\s+(\S{1,30})\s*")
_REQUESTS = re.compile(r"\s*(\d{1,18}) requests in (\S{1,30}), (\S{1,30}) read\s*")
_RATE = re.compile(r"\s*(Requests|Transfer)/sec:\s+(\S{1,30})\s*")
_ERRORS = re.compile(r"\s*Socket errors: connect (\d{1,18}), read (\d{1,18}), write (\d{1,18}), timeout (\d{1,18})\s*")
_NOT_OK = re.compile(r"\s*Non-2xx or 3xx responses: (\d{1,18})\s*")
# What wrk2 adds, and what is the same once more in detail.
_QUIET = re.compile(r"\s*(Thread calibration:.*|Initialised .*|Test Results @.*)")
_SPECTRUM = re.compile(
    r"\s*(Detailed Percentile spectrum:|Value\s+Percentile\s+TotalCount.*|#\[.*|----------------+)\s*"
)
_SPECTRUM_ROW = re.compile(
    r"\s*(\d{1,15}(?:\.\d{1,9})?)\s+([01]\.\d{1,15})\s+(\d{1,18})\s+(?:\d{1,15}\.\d{1,9}|inf)\s*"
)
_VALUE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([A-Za-z]{0,2})%?")

_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
# wrk writes sizes in powers of 1024, and counts in powers of 1000.
_SIZES_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40, "PB": 1 << 50}
_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class _Value:
    line: int
    quantity: str
    statistic: str
    text: str
    value: float
    unit: str


def begins(line: Line, context: Context) -> Parser | None:
    """At the first line of a report."""
    found = _BEGIN.fullmatch(line.text)
    return _Report(line, found[1], found[2].strip()) if found else None


def _read(text: str, units: dict[str, int]) -> float:
    """Raises `ValueError` where it is no such value."""
    found = _VALUE.fullmatch(text)
    if not found or found[2] not in units:
        raise ValueError(text)
    return scaled(found[1], units[found[2]])


class _Report:
    def __init__(self, line: Line, length: str, url: str) -> None:
        self._values: list[_Value] = []
        self._columns: list[str] = []
        self._url = url
        self._done = False
        self._spectrum = False
        self._requests: int | None = None
        self._seconds: float | None = None
        # Without a length it is no report.
        self._begun = self._add(line.number, "test", "asked for", length, _TIMES, "ns")

    def _add(self, line: int, quantity: str, statistic: str, text: str, units: dict[str, int], unit: str) -> bool:
        try:
            self._values.append(_Value(line, quantity, statistic, text, _read(text, units), unit))
        except ValueError:
            return False
        return True

    def take(self, line: Line) -> Taken:
        """A line of the report."""
        if line.blank:
            return Taken.END if self._done else Taken.QUIET
        if not self._begun:
            return Taken.END
        for pattern, read in self._patterns:
            if found := pattern.fullmatch(line.text):
                if self._done and pattern is _BEGIN:
                    return Taken.END
                return read(line.number, found)
        return Taken.END if self._done or len(line.text.split()) > 8 else Taken.BROKEN

    def resumes(self, line: Line) -> bool:
        """A line with numbers before the report's last ones."""
        within = self._begun and (not self._done or _RATE.fullmatch(line.text))
        return bool(within) and self.take(line) is Taken.ROW

    @property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], Callable[[int, re.Match[str]], Taken]], ...]:
        return (
            (_DISTRIBUTION, lambda line, found: Taken.QUIET),
            (_STATISTICS, self._statistics),
            (_PERCENTILE, self._percentile),
            (_SPECTRUM_ROW, self._spectrum_row),
            (_REQUESTS, self._total),
            (_RATE, self._rate),
            (_SIZES, self._sizes),
            (_COLUMNS, self._headings),
            (_ERRORS, self._errors),
            (_NOT_OK, lambda line, found: self._count(line, "responses", "not 2xx or 3xx", found[1])),
            (_SPECTRUM, lambda line, found: Taken.QUIET),
            (_QUIET, lambda line, found: Taken.QUIET),
            (_BEGIN, lambda line, found: Taken.END),
        )

    def _count(self, line: int, quantity: str, statistic: str, text: str) -> Taken:
        return Taken.ROW if self._add(line, quantity, statistic, text, {"": 1}, "") else Taken.BROKEN

    def _sizes(self, line: int, found: re.Match[str]) -> Taken:
        self._count(line, "threads", "", found[1])
        return self._count(line, "connections", "", found[2])

    def _headings(self, line: int, found: re.Match[str]) -> Taken:
        self._columns = found[1].replace("+/- Stdev", "within_stdev").split()
        return Taken.QUIET

    def _statistics(self, line: int, found: re.Match[str]) -> Taken:
        words = found[2].split()
        if len(words) != len(self._columns):
            return Taken.BROKEN
        latency = found[1] == "Latency"
        quantity = "latency" if latency else "requests a second and thread"
        before = len(self._values)
        for column, word in zip(self._columns, words, strict=True):
            if column == "within_stdev":
                fits = word.endswith("%") and self._add(line, quantity, "within one stdev", word, {"": 1}, "%")
            else:
                units, unit = (_TIMES, "ns") if latency else (_COUNTS, "1/s")
                fits = self._add(line, quantity, column.lower(), word, units, unit)
            if not fits:
                del self._values[before:]
                return Taken.BROKEN
        return Taken.ROW

    def _percentile(self, line: int, found: re.Match[str]) -> Taken:
        name = f"p{Decimal(found[1]).normalize():f}"
        return Taken.ROW if self._add(line, "latency", name, found[2], _TIMES, "ns") else Taken.BROKEN

    def _spectrum_row(self, line: int, found: re.Match[str]) -> Taken:
        self._values.append(_Value(line, "latency spectrum", found[2], found[1], scaled(found[1], _TIMES["ms"]), "ns"))
        return Taken.ROW

    def _total(self, line: int, found: re.Match[str]) -> Taken:
        before = len(self._values)
        fits = (
            self._add(line, "requests", "total", found[1], {"": 1}, "")
            and self._add(line, "test", "took", found[2], _TIMES, "ns")
            and self._add(line, "read", "total", found[3], _SIZES_BYTES, "bytes")
        )
        if not fits:
            del self._values[before:]
            return Taken.BROKEN
        self._requests, self._seconds = int(found[1]), self._values[-2].value / 1e9
        return Taken.ROW

    def _rate(self, line: int, found: re.Match[str]) -> Taken:
        self._done = True
        if found[1] == "Requests":
            return Taken.ROW if self._add(line, "requests", "a second", found[2], {"": 1}, "1/s") else Taken.BROKEN
        return Taken.ROW if self._add(line, "read", "a second", found[2], _SIZES_BYTES, "bytes/s") else Taken.BROKEN

    def _errors(self, line: int, found: re.Match[str]) -> Taken:
        for name, text in zip(("connect", "read", "write", "timeout"), found.groups(), strict=True):
            self._count(line, "socket errors", name, text)
        return Taken.ROW

    def contents(self) -> Contents | None:
        """Every value of the report, in a long table."""
        if not any(one.quantity in ("requests", "latency") for one in self._values):
            return None
        names = ("line", "quantity", "statistic", "text", "value", "unit")
        table = Table("load_results", {name: [getattr(one, name) for one in self._values] for name in names})
        return Contents(
            (table,),
            len({one.line for one in self._values}),
            (self._seconds,) if self._seconds else None,
            (f"the load went to {self._url}",) if self._url else (),
            ("what the server did meanwhile",),
            requests=self._requests,
        )
