"""Parts that the reports of sar and pidstat share: the banner, and rows that begin with a time or "Average:"."""

from __future__ import annotations

import re

from netprobe.importers.report import ImportContext
from netprobe.importers.times import clock

_BANNER = re.compile(r"\s*Linux (\S{1,100}) \((.{0,100}?)\)\s+(\S{1,20})\s+_(\w{1,20})_\s+\((\d{1,6}) CPU\)\s*")


def read_banner(text: str, context: ImportContext) -> bool:
    """Store the machine of a banner in the context; False for any other line."""
    found = _BANNER.fullmatch(text)
    if not found:
        return False
    context.host = {
        "kernel": found[1],
        "hostname": found[2],
        "date": found[3],
        "architecture": found[4],
        "cpus": int(found[5]),
    }
    return True


def split_time(text: str) -> tuple[int | None, list[str]] | None:
    """The time and the fields after it, with None as the time of an average; None for any other line."""
    fields = text.split()
    if not fields:
        return None
    if fields[0].endswith(":") and not any(char.isdigit() for char in fields[0]):
        return None, fields[1:]
    found = clock(fields)
    return (found[0], fields[found[1] :]) if found else None
