"""Finds the writer for a file by the ending of its name."""

from __future__ import annotations

import os
import pkgutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from flamegraph import writers
from flamegraph.errors import ProfileError
from flamegraph.profile import Profile
from flamegraph.writers.options import WriteOptions

if TYPE_CHECKING:
    from flamegraph.diff import Diff


class Writer(Protocol):
    """A file of this package that writes one format."""

    SUFFIXES: tuple[str, ...]
    """Endings of file names, the usual one first; the longest that fits wins."""

    def render(self, profile: Profile, options: WriteOptions) -> bytes:
        """The file's content."""


def write(profile: Profile, path: Path, **options: Any) -> None:
    """Write in the format of the name's ending; `options` are the fields of `WriteOptions`.

    Written aside and renamed. Raises `ProfileError` for an ending of no format and for a full disk.
    """
    content = writer_for(path).render(profile, WriteOptions(**options))
    with written_atomically(path) as file:
        file.write(content)


def write_diff(diff: Diff, path: Path, **options: Any) -> None:
    """The same for a diff; only formats whose writer has `render_diff` can show one."""
    draw = getattr(writer_for(path), "render_diff", None)
    if draw is None:
        able = ", ".join(writer.SUFFIXES[0] for writer in all_writers() if hasattr(writer, "render_diff"))
        raise ProfileError(f"{path} has an ending of a format that shows no diff.", hint=f"Use one of {able}.")
    content: bytes = draw(diff, WriteOptions(**options))
    with written_atomically(path) as file:
        file.write(content)


def writer_for(path: Path) -> Writer:
    """The writer of a file name."""
    fitting = [
        (len(suffix), writer) for writer in all_writers() for suffix in writer.SUFFIXES if path.name.endswith(suffix)
    ]
    if not fitting:
        known = ", ".join(suffix for writer in all_writers() for suffix in writer.SUFFIXES)
        raise ProfileError(f"{path} has an ending of no known format.", hint=f"Use one of {known}.")
    return max(fitting, key=lambda pair: pair[0])[1]


def all_writers() -> list[Writer]:
    """Every writer."""
    return list(_found())


def _found() -> Iterator[Writer]:
    for module in pkgutil.iter_modules(writers.__path__):
        loaded = import_module(f"flamegraph.writers.{module.name}")
        if hasattr(loaded, "SUFFIXES"):
            yield cast(Writer, loaded)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when it is complete; until then an older one stays as it is."""
    try:
        # A name that leads to another place is kept; a device or a pipe is not to be replaced by a file.
        place = Path(os.path.realpath(path))
        with _plain_file(place) if _is_file(place) else open(place, "wb") as file:
            yield file
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be written: {error.strerror}.", hint="Check the folder and the disk."
        ) from error


def _is_file(place: Path) -> bool:
    """Or will be one."""
    return place.is_file() or place.is_dir() or not place.exists()


@contextmanager
def _plain_file(place: Path) -> Iterator[BinaryIO]:
    handle, aside = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(aside)
        raise
