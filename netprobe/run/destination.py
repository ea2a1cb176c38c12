"""The place where a Run will be written, checked before the recording begins: without the imports of a writer."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from netprobe.errors import NetprobeError

INFO_FILE = "run.json"


def check_destination(path: str | Path) -> None:
    """Raise `NetprobeError` unless a Run can be written there; called before the recording begins."""
    path = Path(path)
    check_name(path)
    # Checking permissions does not suffice: root has all of them, even in /proc or on a full disk.
    try:
        os.rmdir(make_temporary(path))
    except OSError as error:
        raise not_written(f"netprobe cannot write in {path.absolute().parent}", error) from error


def check_name(path: Path) -> None:
    """Raise `NetprobeError` if this is something else than a Run, or in no directory."""
    if path.is_symlink() or (path.exists() and not (path / INFO_FILE).is_file()):
        raise NetprobeError(
            f"{path} exists and is not a Run, so netprobe will not write over it.",
            hint="Choose another name for -o, or remove it.",
        )
    parent = path.absolute().parent
    if not parent.is_dir():
        raise NetprobeError(f"The directory {parent} does not exist.", hint=f"Create it: mkdir -p {parent}")


def make_temporary(path: Path) -> str:
    """Create a directory beside the Run."""
    return tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)


def not_written(message: str, error: OSError) -> NetprobeError:
    """The error for a user whose Run cannot be written."""
    no_room = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return NetprobeError(
        f"{message}: {error.strerror or error}.",
        hint="Make room, or choose another place for -o." if no_room else "Choose another place for -o.",
    )
