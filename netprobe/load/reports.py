"""Reports of load generators: wrk and its derivatives in full; of ab, h2load and hey the number of requests."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from netprobe.errors import NetprobeError
from netprobe.load.rounds import Round

# ---- wrk, wrk2 and derivatives, such as twrk with minima and the 99.99th percentile ----

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
# Lines that wrk2 adds, and lines that repeat other values in more detail.
_NO_VALUES = re.compile(
    r"\s*(?:Thread calibration:.*|Initialised .*|Test Results @.*"
    r"|Detailed Percentile spectrum:|Value\s+Percentile\s+TotalCount.*|#\[.*|----------------+)\s*"
)
_SPECTRUM_ROW = re.compile(
    r"\s*(\d{1,15}(?:\.\d{1,9})?)\s+([01]\.\d{1,15})\s+(\d{1,18})\s+(?:\d{1,15}\.\d{1,9}|inf)\s*"
)
_VALUE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([A-Za-z]{0,2})%?")

_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
# wrk writes sizes in powers of 1024, and counts in powers of 1000.
_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40, "PB": 1 << 50}
_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_NO_UNIT = {"": 1}


@dataclass(frozen=True)
class ReportedValue:
    """One number of a report: as text, and in its base unit."""

    line: int
    quantity: str
    statistic: str
    text: str
    value: float
    unit: str


class WrkReport:
    """A report of wrk, parsed line by line."""

    def __init__(self) -> None:
        self.values: list[ReportedValue] = []
        self.url = ""
        self.requests: int | None = None
        self.seconds: float | None = None
        self.complete = False
        """Whether the rates have been read, which end a report."""
        self._columns: list[str] = []

    def begin(self, line: int, text: str) -> bool:
        """Parse the first line of a report; False for any other line."""
        found = _BEGIN.fullmatch(text)
        if not found:
            return False
        self.url = found[2].strip()
        return self._add(line, "test", "requested", found[1], _TIMES, "ns")

    def read(self, line: int, text: str) -> bool | None:
        """Parse one of the lines that follow. False if a number in it is malformed, None for a line of other text."""
        for pattern, parse in self._patterns:
            if found := pattern.fullmatch(text):
                before = len(self.values)
                if parse(line, found):
                    return True
                del self.values[before:]
                return False
        return None

    @property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], Callable[[int, re.Match[str]], bool]], ...]:
        return (
            (_DISTRIBUTION, lambda line, found: True),
            (_STATISTICS, self._statistics),
            (_PERCENTILE, self._percentile),
            (_SPECTRUM_ROW, self._spectrum_row),
            (_REQUESTS, self._total),
            (_RATE, self._rate),
            (_SIZES, self._sizes),
            (_COLUMNS, self._headings),
            (_ERRORS, self._errors),
            (_NOT_OK, lambda line, found: self._count(line, "responses", "not 2xx or 3xx", found[1])),
            (_NO_VALUES, lambda line, found: True),
        )

    def _add(self, line: int, quantity: str, statistic: str, text: str, units: dict[str, int], unit: str) -> bool:
        found = _VALUE.fullmatch(text)
        if not found or found[2] not in units:
            return False
        # Decimal, so that the value is rounded once.
        value = float(Decimal(found[1]) * units[found[2]])
        self.values.append(ReportedValue(line, quantity, statistic, text, value, unit))
        return True

    def _count(self, line: int, quantity: str, statistic: str, text: str) -> bool:
        return self._add(line, quantity, statistic, text, _NO_UNIT, "")

    def _sizes(self, line: int, found: re.Match[str]) -> bool:
        return self._count(line, "threads", "", found[1]) and self._count(line, "connections", "", found[2])

    def _headings(self, line: int, found: re.Match[str]) -> bool:
        self._columns = found[1].replace("+/- Stdev", "within_stdev").split()
        return True

    def _statistics(self, line: int, found: re.Match[str]) -> bool:
        texts = found[2].split()
        if len(texts) != len(self._columns):
            return False
        latency = found[1] == "Latency"
        quantity = "latency" if latency else "requests per second and thread"
        units, unit = (_TIMES, "ns") if latency else (_COUNTS, "1/s")
        for column, text in zip(self._columns, texts, strict=True):
            if column == "within_stdev":
                valid = text.endswith("%") and self._add(line, quantity, "within one stdev", text, _NO_UNIT, "%")
            else:
                valid = self._add(line, quantity, column.lower(), text, units, unit)
            if not valid:
                return False
        return True

    def _percentile(self, line: int, found: re.Match[str]) -> bool:
        return self._add(line, "latency", f"p{Decimal(found[1]).normalize():f}", found[2], _TIMES, "ns")

    def _spectrum_row(self, line: int, found: re.Match[str]) -> bool:
        value = float(Decimal(found[1]) * _TIMES["ms"])
        self.values.append(ReportedValue(line, "latency spectrum", found[2], found[1], value, "ns"))
        return True

    def _total(self, line: int, found: re.Match[str]) -> bool:
        valid = (
            self._count(line, "requests", "total", found[1])
            and self._add(line, "test", "elapsed", found[2], _TIMES, "ns")
            and self._add(line, "read", "total", found[3], _BYTES, "bytes")
        )
        if valid:
            self.requests, self.seconds = int(found[1]), self.values[-2].value / 1e9
        return valid

    def _rate(self, line: int, found: re.Match[str]) -> bool:
        self.complete = True
        if found[1] == "Requests":
            return self._add(line, "requests", "per second", found[2], _NO_UNIT, "1/s")
        return self._add(line, "read", "per second", found[2], _BYTES, "bytes/s")

    def _errors(self, line: int, found: re.Match[str]) -> bool:
        names = ("connect", "read", "write", "timeout")
        return all(
            self._count(line, "socket errors", name, text) for name, text in zip(names, found.groups(), strict=True)
        )


def begins_wrk_report(text: str) -> bool:
    """Whether this is the first line of a report of wrk."""
    return bool(_BEGIN.fullmatch(text))


def ends_wrk_report(text: str) -> bool:
    """Whether this is one of the rates that end a report of wrk."""
    return bool(_RATE.fullmatch(text))


@dataclass(frozen=True)
class WrkResult:
    """Requests answered, requests per second, and socket errors."""

    requests: int
    per_second: float
    errors: int


def parse_wrk(text: str) -> WrkResult:
    """The result of one run of wrk; raises `NetprobeError` if the text has none."""
    report = WrkReport()
    for number, line in enumerate(text.splitlines(), 1):
        report.read(number, line)
    rates = [one.value for one in report.values if (one.quantity, one.statistic) == ("requests", "per second")]
    if report.requests is None or not rates:
        raise NetprobeError(f"The output of wrk has no result: {text.strip()[:500]}")
    errors = sum(int(one.value) for one in report.values if one.quantity == "socket errors")
    return WrkResult(report.requests, rates[0], errors)


# ---- wrk with wrk_report.lua ----

_ROUND = re.compile(
    r"^netprobe-load (\d+) requests (\d+) us \d+ bytes "
    r"(\d+) connect (\d+) read (\d+) write (\d+) status (\d+) timeout$",
    re.MULTILINE,
)
_LATENCY = re.compile(r"^netprobe-latency (\d+) (\d+)$", re.MULTILINE)


def parse_round(text: str, started: float = 0.0) -> Round:
    """The round that `wrk_report.lua` printed; raises `NetprobeError` if there is none."""
    totals = _ROUND.search(text)
    if not totals:
        raise NetprobeError(f"The output of wrk has no result: {text.strip()[:500]}")
    requests, us, *errors = map(int, totals.groups())
    latency_us = {int(value): int(count) for value, count in _LATENCY.findall(text)}
    return Round(started, us / 1e6, requests, sum(errors), latency_us)


# ---- The number of requests in a report of any load generator ----

# wrk and its derivatives, ab, h2load: each prints its total once.
_TOTALS = (
    re.compile(r"^[ \t]*(\d{1,18}) requests in ", re.MULTILINE),
    re.compile(r"^Complete requests:[ \t]*(\d{1,18})", re.MULTILINE),
    re.compile(r"^requests: \d+ total, \d+ started, \d+ done, (\d{1,18}) succeeded", re.MULTILINE),
)
# hey prints no total, only the responses by status (printStatusCodes() in its requester/print.go).
_BY_STATUS = re.compile(
    r"^Status code distribution:\n((?:[ \t]*\[\d+\][ \t]+\d{1,18} responses(?:\n|\Z))+)", re.MULTILINE
)
_OF_A_STATUS = re.compile(r"\]\s+(\d+) responses")
_MAX_BYTES = 1 << 20
_MAX_TOTALS_SHOWN = 8
# The kernel stamps files with the time of its last tick, at most 10 ms ago.
_TICK_SECONDS = 0.01


class NoReportError(NetprobeError):
    """The load generator has not reported."""


def requests_in(path: Path, since: float = 0.0) -> int:
    """The number of requests in a report that was written after `since` (seconds since the epoch).

    Raises `NoReportError` if there is no such number, and `NetprobeError` if the file cannot be read or has more than
    one total: which of several reports belong to one recording is not known.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_MAX_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError as error:
        kind = NoReportError if isinstance(error, FileNotFoundError) else NetprobeError
        raise kind(f"{path} cannot be read: {error.strerror}.", hint="Check --requests-from.") from error
    # The modification time of a pipe is that of its creation.
    if stat.S_ISREG(status.st_mode) and status.st_mtime < since - _TICK_SECONDS:
        raise NoReportError(
            f"{path} was written before the recording began, so it reports other requests.",
            hint="Let the load generator write it during the recording, as in --while 'wrk … >wrk.txt'; or give the "
            "number with --requests.",
        )
    totals = _totals(text)
    if not totals:
        raise NoReportError(
            f"{path} does not contain a number of requests.",
            hint="Expected is the output of wrk, wrk2, ab, h2load or hey; or give the number with --requests.",
        )
    if len(totals) > 1:
        raise NetprobeError(
            f"{path} contains {len(totals)} totals of requests: {', '.join(map(str, totals[:_MAX_TOTALS_SHOWN]))}"
            f"{' …' if len(totals) > _MAX_TOTALS_SHOWN else ''}.",
            hint="For load generators that ran at the same time, give the sum with --requests; otherwise name a file "
            "that contains only the report of this recording.",
        )
    return totals[0]


def _totals(text: str) -> list[int]:
    """The total of each report in the text, in order."""
    found = [(match.start(), int(match[1])) for pattern in _TOTALS for match in pattern.finditer(text)]
    found += [(match.start(), sum(map(int, _OF_A_STATUS.findall(match[1])))) for match in _BY_STATUS.finditer(text)]
    return [count for _, count in sorted(found)]
