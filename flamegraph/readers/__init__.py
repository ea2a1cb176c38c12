"""Profiles from files. A format is one file here, with `recognises` and `read`; being here registers it."""

from __future__ import annotations

from flamegraph.readers.options import ReadOptions
from flamegraph.readers.sniff import read

__all__ = ["ReadOptions", "read"]
