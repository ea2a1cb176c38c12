"""Profiles to files.

An output format is a module of this folder that declares `SUFFIXES` and `render`, and `render_diff` where it can also
draw the difference of two profiles.
"""

from __future__ import annotations

import os
import pkgutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from flamegraph.errors import ProfileError

if TYPE_CHECKING:
    from flamegraph.diff import Diff
    from flamegraph.profile import Profile


@dataclass(frozen=True)
class WriteOptions:
    """How a profile is drawn or written. A format ignores options that do not concern it."""

    title: str = ""
    """Title; by default that of the profile."""
    root: str = "comm"
    """The frame below each stack: "comm", "pid", "tid" or "none"."""
    annotate_kernel: bool = False
    """Append `_[k]` to the names of kernel frames."""
    annotate_jit: bool = False
    """Append `_[j]` to the names of JIT frames, `_[i]` to those of inlined frames."""
    width: int = 1200
    """Width of an SVG in pixels."""
    min_width: float = 0.1
    """Frames narrower than this many pixels at full width are not drawn; the page states their number."""
    reverse: bool = False
    """Merge stacks from the leaf: callers of each function."""
    inverted: bool = False
    """Root on top (icicle)."""
    colors: str = "kind"
    """`kind` (kernel, user, JIT, inlined), or a palette: `hot`, `mem`, `io`, `aqua`, `orange`, `red`, `green`,
    `blue`, `yellow`, `purple`."""


class OutputFormat(Protocol):
    """A module of this package that writes one format."""

    SUFFIXES: tuple[str, ...]
    """File name suffixes, the usual one first; the longest match wins."""

    def render(self, profile: Profile, options: WriteOptions) -> bytes:
        """The content of the file."""


@cache
def output_formats() -> dict[str, OutputFormat]:
    """Every format by file name suffix. Raises `ValueError` for a suffix that two formats declare."""
    found: dict[str, tuple[str, OutputFormat]] = {}
    for name, module in _modules():
        for suffix in module.SUFFIXES:
            if suffix in found:
                raise ValueError(f"The suffix {suffix} of {name} is already written by {found[suffix][0]}")
            found[suffix] = name, module
    return {suffix: module for suffix, (_, module) in found.items()}


def _modules() -> Iterator[tuple[str, OutputFormat]]:
    for entry in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        if hasattr(module, "SUFFIXES"):
            yield module.__name__, module


def output_format(path: Path) -> OutputFormat:
    """The format of a file name. Raises `ProfileError` for an unknown suffix."""
    formats = output_formats()
    matches = [suffix for suffix in formats if path.name.endswith(suffix)]
    if not matches:
        raise ProfileError(f"{path} has the suffix of no known format.", hint=f"Use one of {', '.join(formats)}.")
    return formats[max(matches, key=len)]


def write(profile: Profile, path: Path, options: WriteOptions | None = None) -> None:
    """Write in the format of the suffix, atomically.

    Raises `ProfileError` for an unknown suffix and where the file cannot be written.
    """
    content = output_format(path).render(profile, options or WriteOptions())
    with written_atomically(path) as file:
        file.write(content)


def write_diff(diff: Diff, path: Path, options: WriteOptions | None = None) -> None:
    """Write a difference; only formats with `render_diff` can show one."""
    draw = getattr(output_format(path), "render_diff", None)
    if draw is None:
        able = ", ".join(suffix for suffix, module in output_formats().items() if hasattr(module, "render_diff"))
        raise ProfileError(f"{path} has the suffix of a format that cannot show a diff.", hint=f"Use one of {able}.")
    content: bytes = draw(diff, options or WriteOptions())
    with written_atomically(path) as file:
        file.write(content)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` once it is complete; until then an existing file stays unchanged."""
    try:
        # A symbolic link is kept; a device or a pipe is written to, not replaced by a file.
        place = Path(os.path.realpath(path))
        with _temporary_file(place) if _is_file_name(place) else open(place, "wb") as file:
            yield file
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be written: {error.strerror}.", hint="Check the folder and the disk."
        ) from error


def _is_file_name(place: Path) -> bool:
    """Whether a regular file is there or can be created there; a directory fails when the file is renamed."""
    return place.is_file() or place.is_dir() or not place.exists()


@contextmanager
def _temporary_file(place: Path) -> Iterator[BinaryIO]:
    handle, temporary = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
