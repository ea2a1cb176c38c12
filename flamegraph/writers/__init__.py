"""Profiles to files. A format is one file here, with `SUFFIXES` and `write`; being here registers it."""

from __future__ import annotations

from flamegraph.writers.options import WriteOptions
from flamegraph.writers.registry import write

__all__ = ["WriteOptions", "write"]
