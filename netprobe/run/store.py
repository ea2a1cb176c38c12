"""Runs on disk: a directory with run.json and one Parquet file a table, written aside and renamed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netprobe.errors import NetprobeError
from netprobe.run.description import checked
from netprobe.run.model import FORMAT_VERSION, LazyTables, Run
from netprobe.run.table import Table
from netprobe.run.together import usable
from netprobe.run.versions import file_stem, upgraded_columns, upgraded_info

_INFO = "run.json"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def check_destination(path: str | Path) -> None:
    """Raise `NetprobeError` unless a Run can be written there; to be asked before recording begins."""
    path = Path(path)
    _check_name(path)
    # Root may write where nobody can: in /proc, on a disk that is full.
    try:
        os.rmdir(_make_temporary(path))
    except OSError as error:
        raise _not_written(f"netprobe cannot write in {path.absolute().parent}", error) from error


def _check_name(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not (path / _INFO).is_file()):
        raise NetprobeError(
            f"{path} exists and is not a Run, so netprobe will not write over it.",
            hint="Choose another name for -o, or remove it.",
        )
    parent = path.absolute().parent
    if not parent.is_dir():
        raise NetprobeError(f"The directory {parent} does not exist.", hint=f"Create it: mkdir -p {parent}")


def _make_temporary(path: Path) -> str:
    return tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)


def _not_written(what: str, error: OSError) -> NetprobeError:
    no_room = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return NetprobeError(
        f"{what}: {error.strerror or error}.",
        hint="Make room, or choose another place for -o." if no_room else "Choose another place for -o.",
    )


def write_run(run: Run, path: str | Path) -> bool:
    """Write a Run, in place of an older one if there is one, and then True: complete, or not at all.

    Raises `NetprobeError` when it cannot be written; an older Run is intact then.
    """
    path = Path(path).absolute()
    _check_name(path)
    aside = None
    # A signal in the middle would leave half a Run behind; the few files are written at once.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        aside = Path(_make_temporary(path))
        _write_files(run, aside)
        aside.chmod(0o777 & ~_umask())
        return _put_in_place(aside, path)
    except OSError as error:
        raise _not_written(f"The Run could not be written to {path}", error) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def write_into_series(run: Run, path: str | Path) -> bool:
    """The same, and make the directory of the series where that is not there yet; none is left without a Run."""
    folder = Path(path).absolute().parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise _not_written(f"The directory {folder} cannot be made", error) from error
    try:
        return write_run(run, path)
    finally:
        # Only where it is empty.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _write_files(run: Run, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, table in run.tables.items():
        with open(folder / f"{name}.parquet", "wb") as file:
            columns = {column: pa.array(values) for column, values in table.columns.items()}
            pq.write_table(pa.table(columns), file, compression="zstd")
            _flush_to_disk(file)
    info = dict(run.info) | {"format_version": FORMAT_VERSION, "tables": sorted(run.tables)}
    with open(folder / _INFO, "w") as text:
        json.dump(info, text, indent=2)
        text.write("\n")
        _flush_to_disk(text)


def _flush_to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _put_in_place(aside: Path, path: Path) -> bool:
    """Rename; an older Run changes places with the new one, so that one of the two is always there, and then True."""
    if not path.exists():
        aside.rename(path)
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    exchanged = libc.renameat2(
        _AT_FDCWD, os.fsencode(aside), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE
    )  # fmt: skip
    if exchanged == 0:
        return True
    # File systems without the exchange (some network ones).
    old = path.with_name(f".{path.name}.old")
    path.rename(old)
    aside.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    return True


def read_run(path: str | Path) -> Run:
    """Read a Run; tables are read when they are used.

    Raises `NetprobeError` if there is none, or one that this version does not know.
    """
    path = Path(path)
    try:
        info = json.loads((path / _INFO).read_text())
    except FileNotFoundError:
        raise NetprobeError(
            f"There is no Run at {path}.", hint="A Run is the directory that `netprobe … -o DIRECTORY` wrote."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise NetprobeError(f"{path / _INFO} cannot be read: {error}.") from error
    if not isinstance(info, dict) or "format_version" not in info:
        raise NetprobeError(f"{path / _INFO} cannot be read: it is not the description of a Run.")
    version = info["format_version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise NetprobeError(
            f"The Run at {path} has format version {version!r}; this netprobe knows versions up to {FORMAT_VERSION}.",
            hint="Update netprobe.",
        )
    info = checked(upgraded_info(info, version), path / _INFO)
    names, dropped = usable([name for name in info["tables"] if "/" not in name])
    info["dropped"] = [*info["dropped"], *dropped]
    return Run(info, LazyTables(names, lambda name: _read_table(path, name, version)))


class _Columns(dict[str, Any]):
    """Columns of a file; one that it lacks is the file's fault, not a mistake of whoever asks."""

    def __init__(self, columns: Mapping[str, Any], file: Path) -> None:
        super().__init__(columns)
        self._file = file

    def __missing__(self, name: str) -> Any:
        raise NetprobeError(
            f"The table {self._file} has no column {name}: it is corrupt, or of another version of netprobe.",
            hint="Record again.",
        )


def _read_table(path: Path, name: str, version: int) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from netprobe.run.columns import values_of

    file = path / f"{file_stem(name, version)}.parquet"
    try:
        # Not read_table(): it imports the data sets of Arrow and pandas with them, half a second for nothing.
        with pq.ParquetFile(file) as opened:
            table = opened.read()
        found = {column: values_of(table.column(column)) for column in table.column_names}
        columns = _Columns(upgraded_columns(name, found, version), file)
    except FileNotFoundError:
        raise NetprobeError(
            f"The Run at {path} is not complete: run.json lists the table {name}, and {file.name} is not there.",
            hint="Copy the whole directory again from where it was recorded, or record again.",
        ) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise NetprobeError(
            f"The table {file} cannot be read: {reason}.",
            hint="See to it that you may read it, and that it was copied whole; or record again.",
        ) from error
    return Table(name, columns)
