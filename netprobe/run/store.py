"""Runs on disk: a directory with run.json and one Parquet file per table, written atomically."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError
from netprobe.run.description import info_as_json, parse_info
from netprobe.run.destination import INFO_FILE, check_name, make_temporary, not_written
from netprobe.run.model import LazyTables, Run
from netprobe.run.schema.tables import TABLES, usable
from netprobe.run.table import Table
from netprobe.run.versions import (
    FORMAT_VERSION,
    file_stem,
    has_untyped_columns,
    upgraded_info,
    upgraded_names,
    upgraded_profile_info,
)

if TYPE_CHECKING:
    from flamegraph.profile import Profile

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_run(run: Run, path: str | Path) -> bool:
    """Write a Run atomically; return whether it replaced an older Run.

    Raises `NetprobeError` when it cannot be written; an older Run is then intact.
    """
    path = Path(path).absolute()
    check_name(path)
    temporary = None
    # A signal would leave temporary files behind; writing takes a fraction of a second.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        temporary = Path(make_temporary(path))
        _write_files(run, temporary)
        temporary.chmod(0o777 & ~_umask())
        return _put_in_place(temporary, path)
    except OSError as error:
        raise not_written(f"The Run could not be written to {path}", error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def write_into_series(run: Run, path: str | Path) -> bool:
    """Write a Run as `write_run` does, and create the directory of its series if that is missing.

    The directory is removed again if it has no Run.
    """
    folder = Path(path).absolute().parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise not_written(f"The directory {folder} cannot be made", error) from error
    try:
        return write_run(run, path)
    finally:
        # Fails unless the directory is empty.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _write_files(run: Run, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from netprobe.run.schema.arrow import to_arrow

    for name, table in run.tables.items():
        schema = TABLES.get(name)
        with open(folder / f"{name}.parquet", "wb") as file:
            columns = {column: to_arrow(schema, column, values) for column, values in table.columns.items()}
            pq.write_table(pa.table(columns), file, compression="zstd")
            _flush_to_disk(file)
    info = info_as_json(run.info) | {"format_version": FORMAT_VERSION, "tables": sorted(run.tables)}
    with open(folder / INFO_FILE, "w") as text:
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


def _put_in_place(temporary: Path, path: Path) -> bool:
    """Rename; return whether there was an older Run. The two change places, so a complete Run is always there."""
    if not path.exists():
        temporary.rename(path)
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    exchanged = libc.renameat2(
        _AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE
    )  # fmt: skip
    if exchanged == 0:
        return True
    # File systems without the exchange (some network ones).
    old = path.with_name(f".{path.name}.old")
    path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    return True


def read_run(path: str | Path) -> Run:
    """Read a Run; tables are read when they are used.

    Raises `NetprobeError` if there is none, or one that this version does not know.
    """
    path = Path(path)
    file = path / INFO_FILE
    try:
        _check_regular(file)
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise NetprobeError(
            f"There is no Run at {path}.", hint="A Run is the directory that `netprobe … -o DIRECTORY` wrote."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise NetprobeError(f"{file} cannot be read: {error}.") from error
    if not isinstance(content, dict) or "format_version" not in content:
        raise NetprobeError(f"{file} cannot be read: it is not the description of a Run.")
    version = content["format_version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise NetprobeError(
            f"The Run at {path} has format version {version!r}; this netprobe knows versions up to {FORMAT_VERSION}.",
            hint="Update netprobe.",
        )
    info = parse_info(upgraded_info(content, version), file)
    names, skipped = usable([name for name in info.tables if "/" not in name])
    info.dropped.extend(skipped)
    intervals = info.recording.intervals
    return Run(info, LazyTables(names, lambda name: _read_table(path, name, version, intervals)))


def read_run_profile(path: Path) -> Profile | None:
    """The profile of a Run directory; None for any other directory. Entry point of `flamegraph.read`."""
    from flamegraph.errors import ProfileError

    if not (path / INFO_FILE).exists():
        return None
    try:
        return read_run(path).profile
    except NetprobeError as error:
        raise ProfileError(error.message, hint=error.hint) from error


def _check_regular(file: Path) -> None:
    """Raise `OSError` for anything but a file: to open a FIFO without a writer would block."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFDIR: "a directory", stat.S_IFSOCK: "a socket"}
        raise OSError(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file")


class _Columns(dict[str, Any]):
    """Columns of a file. A missing column that is asked for is a fault of the file."""

    def __init__(self, columns: Mapping[str, Any], file: Path) -> None:
        super().__init__(columns)
        self.file = file

    def __missing__(self, name: str) -> Any:
        raise NetprobeError(
            f"The table {self.file} has no column {name}: it is corrupt, or of another version of netprobe.",
            hint="Record again.",
        )


def _read_table(path: Path, name: str, version: int, intervals: int) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from netprobe.run.schema.arrow import ColumnError, columns_of

    file = path / f"{file_stem(name, version)}.parquet"
    try:
        _check_regular(file)
        # Not read_table(): it imports pyarrow.dataset and pandas, which takes half a second.
        with pq.ParquetFile(file) as opened:
            table = opened.read()
        table = table.rename_columns(upgraded_names(name, table.column_names, version))
        columns: dict[str, Any] = dict(columns_of(table, TABLES.get(name), intervals, has_untyped_columns(version)))
    except FileNotFoundError:
        raise NetprobeError(
            f"The Run at {path} is not complete: run.json lists the table {name}, and {file.name} is not there.",
            hint="Copy the whole directory again from where it was recorded, or record again.",
        ) from None
    except ColumnError as error:
        raise NetprobeError(
            f"The table {file} is corrupt: {error}.", hint="Copy the Run again from where it was recorded."
        ) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise NetprobeError(
            f"The table {file} cannot be read: {reason}.",
            hint="Check that you may read the file and that it was copied completely, or record again.",
        ) from error
    if name == "profile_info":
        columns["info"] = [upgraded_profile_info(text, version) for text in columns["info"].tolist()]
    return Table(name, _Columns(columns, file))
