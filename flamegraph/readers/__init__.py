"""Profiles from files.

An input format is a module or package of this folder that declares `FORMAT`, `IS_TEXT`, `ORDER`, `recognises` and
`read`. It imports numpy and the modules that parse inside `read`, so that recognising a format stays cheap.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flamegraph.errors import ProfileError
from flamegraph.readers.source import InputSource, open_source

if TYPE_CHECKING:
    from flamegraph.flame_graph import FlameGraph
    from flamegraph.profile import Profile

ENTRY_POINTS = "flamegraph.readers"
"""Entry points of this group read directories: functions of a path that return a Profile, or None where the directory
is not theirs."""
_RUN_FILE = "run.json"


@dataclass(frozen=True)
class ReadOptions:
    """How to read a profile. A format ignores options that do not concern it."""

    event: str | None = None
    """Which event to read where the file has several; by default the first that was sampled."""
    unit: str = ""
    """Unit of the numbers of folded stacks, which the text does not name; by default samples. `us`, `ms` and `s` are
    converted to `ns`, as in other formats."""
    salvage: bool = False
    """Read a corrupt file up to the corruption, with a note, instead of refusing it."""
    addresses: bool = False
    """Show the address where a frame has no name: `[libc.so.6 <7f0012>]`."""
    java_only_by_name: bool = False
    """Treat as Java only processes named exactly `java`, not `java-2512/2513`: the behaviour of FlameGraph's
    collapser when four of its expected results were made. As a thread always has a number, class names then stay
    unchanged: `Ljava/io/Print`."""
    symbols_root: Path = Path("/")
    """Root directory of the mapped files: `/`, or a copy of the recorded machine."""
    downloads: bool = True
    """Query debuginfod where DEBUGINFOD_URLS is set."""


class InputFormat(Protocol):
    """A module of this package that reads one format."""

    FORMAT: str
    """Name of the format, for messages."""
    IS_TEXT: bool
    """Whether the format is text, which may stand between other lines of a log."""
    ORDER: int
    """Formats are tested in ascending order; the least specific test comes last."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file with these first bytes has this format. `head`: 4096 bytes, or the whole file."""

    def read(self, source: InputSource, options: ReadOptions) -> Profile:
        """Read the profile. Raises `BrokenProfileError` with the position of the corruption."""


@cache
def input_formats() -> tuple[InputFormat, ...]:
    """Every format, in the order in which a file is tested. Raises `ValueError` for two formats of one name."""
    found: dict[str, tuple[str, InputFormat]] = {}
    for name, module in _modules():
        if module.FORMAT in found:
            raise ValueError(f"The format {module.FORMAT!r} of {name} is already read by {found[module.FORMAT][0]}")
        found[module.FORMAT] = name, module
    return tuple(sorted((module for _, module in found.values()), key=lambda module: module.ORDER))


def _modules() -> Iterator[tuple[str, InputFormat]]:
    for entry in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        if hasattr(module, "recognises"):
            yield module.__name__, module


def read(path: str | Path, options: ReadOptions | None = None) -> FlameGraph:
    """Read perf.data, `perf script` text, folded stacks or pprof, plain or gzip ("-": standard input), or a Run.

    Raises `ProfileError` for any other format, `BrokenProfileError` for a corrupt file.
    """
    from flamegraph.flame_graph import FlameGraph

    options = options or ReadOptions()
    if Path(path).is_dir():
        return FlameGraph.of(_read_directory(Path(path)))
    with open_source(path) as source:
        if not source.head:
            raise ProfileError(f"{source.name} is empty.", hint="Check that the recording ended without an error.")
        for input_format in input_formats():
            if input_format.recognises(source.head):
                return FlameGraph.of(input_format.read(source, options))
        formats = ", ".join(input_format.FORMAT for input_format in input_formats())
    raise ProfileError(f"{source.name} has none of the formats that can be read: {formats}.")


def _read_directory(path: Path) -> Profile:
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS):
        profile: Profile | None = entry.load()(path)
        if profile is not None:
            return profile
    if (path / _RUN_FILE).is_file():
        raise ProfileError(
            f"{path} is a Run of netprobe, and the package netprobe is not installed.", hint="pip install netprobe"
        )
    raise ProfileError(f"{path} is a directory.", hint="Name a file with a profile, or a Run of netprobe.")
