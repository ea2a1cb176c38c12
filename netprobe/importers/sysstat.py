"""What sar and pidstat have in common: the banner with the machine, rows that begin with a time or "Average:"."""

from __future__ import annotations

import re

from netprobe.importers.lines import clock
from netprobe.importers.report import Context

_BANNER = re.compile(r"\s*Linux (\S{1,100}) \((.{0,100}?)\)\s+(\S{1,20})\s+_(\w{1,20})_\s+\((\d{1,6}) CPU\)\s*")


def notice_banner(text: str, context: Context) -> bool:
    """Remember the machine that the banner names."""
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
    """The time and the words behind it; None for the time of an average; None where the line begins otherwise."""
    words = text.split()
    if not words:
        return None
    if words[0].endswith(":") and not any(char.isdigit() for char in words[0]):
        return None, words[1:]
    found = clock(words)
    return (found[0], words[found[1] :]) if found else None
