"""The number of requests that a load generator reports, from its text."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from netprobe.errors import NetprobeError

# wrk and its offspring, ab, h2load: each says it once.
_TOTALS = (
    re.compile(r"^[ \t]*(\d{1,18}) requests in ", re.MULTILINE),
    re.compile(r"^Complete requests:[ \t]*(\d{1,18})", re.MULTILINE),
    re.compile(r"^requests: \d+ total, \d+ started, \d+ done, (\d{1,18}) succeeded", re.MULTILINE),
)
# hey has no total but the answers by status (printStatusCodes() in its requester/print.go).
_BY_STATUS = re.compile(
    r"^Status code distribution:\n((?:[ \t]*\[\d+\][ \t]+\d{1,18} responses(?:\n|\Z))+)", re.MULTILINE
)
_OF_A_STATUS = re.compile(r"\]\s+(\d+) responses")
_MOST_BYTES = 1 << 20
_SHOWN = 8
# A file's time is that of the kernel's last tick, 10 ms ago at most.
_TICK_S = 0.01


class NoReportError(NetprobeError):
    """The load generator has not reported."""


def requests_in(path: Path, since: float = 0.0) -> int:
    """Requests that were served by the report in a file that was written `since` then (seconds since the epoch).

    Raises `NoReportError` where there is no such number, and `NetprobeError` where it cannot be read or there is more
    than one: which of them belong to one recording cannot be told.
    """
    try:
        with open(path, "rb") as file:
            written = os.fstat(file.fileno())
            text = file.read(_MOST_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError as error:
        kind = NoReportError if isinstance(error, FileNotFoundError) else NetprobeError
        raise kind(f"{path} cannot be read: {error.strerror}.", hint="Check --requests-from.") from error
    # The time of a pipe is that of its making.
    if stat.S_ISREG(written.st_mode) and written.st_mtime < since - _TICK_S:
        raise NoReportError(
            f"{path} was written before the recording began, so it tells of other requests.",
            hint="Let the load generator write it while netprobe records, as in --while 'wrk … >wrk.txt'; or give the "
            "number with --requests.",
        )
    totals = _totals(text)
    if not totals:
        raise NoReportError(
            f"{path} does not say how many requests were served.",
            hint="It should be what wrk, wrk2, ab, h2load or hey printed; or give the number with --requests.",
        )
    if len(totals) > 1:
        raise NetprobeError(
            f"{path} holds {len(totals)} totals of requests: {', '.join(map(str, totals[:_SHOWN]))}"
            f"{' …' if len(totals) > _SHOWN else ''}.",
            hint="Of load generators that ran at the same time, give the sum with --requests; else a file with the one "
            "report of the recording.",
        )
    return totals[0]


def _totals(text: str) -> list[int]:
    """Each report's, in the order in which they stand there."""
    found = [(match.start(), int(match[1])) for pattern in _TOTALS for match in pattern.finditer(text)]
    found += [(match.start(), sum(map(int, _OF_A_STATUS.findall(match[1])))) for match in _BY_STATUS.finditer(text)]
    return [count for _, count in sorted(found)]
