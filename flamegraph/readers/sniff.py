"""Finds the reader for a file by what is in it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

from flamegraph import readers
from flamegraph.errors import ProfileError
from flamegraph.profile import Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.source import Source, open_source


class Reader(Protocol):
    """A file of this package that reads one format."""

    FORMAT: str
    """The format's name, for messages."""
    ORDER: int
    """Readers are asked from the lowest; the ones that recognise almost anything come last."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is of this format. `head`: the first 4096 bytes or all there are."""

    def read(self, source: Source, options: ReadOptions) -> Profile:
        """Read it. Raises `BrokenProfileError` naming the place."""


def read(path: str | Path, options: ReadOptions | None = None) -> Profile:
    """Read perf.data, `perf script` text, folded stacks or pprof; plain or gzip; "-" is standard input.

    Raises `ProfileError` if it is none of these, `BrokenProfileError` where it is corrupt.
    """
    with open_source(path) as source:
        if not source.head:
            raise ProfileError(f"{source.name} is empty.", hint="Check that the recording came to its end.")
        for reader in all_readers():
            if reader.recognises(source.head):
                return reader.read(source, options or ReadOptions())
        formats = ", ".join(reader.FORMAT for reader in all_readers())
    raise ProfileError(f"{source.name} is none of the formats that can be read: {formats}.")


def all_readers() -> list[Reader]:
    """Every reader, in the order in which they are asked."""
    return sorted(_found(), key=lambda reader: reader.ORDER)


def _found() -> Iterator[Reader]:
    for module in pkgutil.iter_modules(readers.__path__):
        loaded = import_module(f"flamegraph.readers.{module.name}")
        if hasattr(loaded, "recognises"):
            yield loaded
