"""perf.data, as `perf record` writes it: to a file or a pipe, plain, gzip or `-z`; read without perf."""

from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
from dataclasses import replace

from flamegraph.errors import ProfileError
from flamegraph.profile import Info, Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.perfdata.attributes import shown_names
from flamegraph.readers.perfdata.feed import Feed
from flamegraph.readers.perfdata.formats import MAGIC, MAGIC_FOREIGN, PIPE_HEADER_BYTES
from flamegraph.readers.perfdata.header import Features, read_header, read_pipe_header
from flamegraph.readers.perfdata.naming import name_all
from flamegraph.readers.perfdata.opening import Remembering, as_file
from flamegraph.readers.perfdata.problems import Damage
from flamegraph.readers.perfdata.scan import NeedsUnwindingError, Scan
from flamegraph.readers.perfdata.through_perf import read_through_perf
from flamegraph.readers.source import Source

FORMAT = "perf.data"
ORDER = 10

_UNFINISHED = "perf was ended before it could finish this recording: its header says that there is no data"


def recognises(head: bytes) -> bool:
    """Whether it begins with perf's magic, in one byte order or the other."""
    return head.startswith((MAGIC, MAGIC_FOREIGN))


def read(source: Source, options: ReadOptions) -> Profile:
    """Read it. Raises `BrokenProfileError` naming the byte."""
    _refuse_foreign(source)
    try:
        if source.head[8:16] == struct.pack("<Q", PIPE_HEADER_BYTES):
            return _read_pipe(source, options)
        with as_file(source, options) as (file, notes):
            return _read_file(source.name, file, options, notes)
    except Damage as corruption:
        raise corruption.error(source.name) from corruption


def _refuse_foreign(source: Source) -> None:
    # perf writes the magic as a number, so that its bytes tell the order of the machine.
    written = "little" if source.head.startswith(MAGIC) else "big"
    if written != "little" or sys.byteorder != "little":
        raise ProfileError(
            f"{source.name} is a {written}-endian recording, which this {sys.byteorder}-endian machine cannot read.",
            hint=f"Fold it on a {written}-endian machine (perf script | stackcollapse-perf.pl) and read the result.",
        )


def _read_file(name: str, file: io.FileIO, options: ReadOptions, notes: tuple[str, ...]) -> Profile:
    size = os.fstat(file.fileno()).st_size
    header = read_header(file, size)
    notes, left = (*notes, *header.notes), header.data_size or None
    if header.data_offset > size:
        raise Damage(40, f"its data begins at byte {header.data_offset}, behind its end")
    if header.truncated:
        if not options.salvage:
            raise header.truncated
        notes = (*notes, header.truncated.note())
    if not header.data_size:
        if not options.salvage and size > header.data_offset:
            corruption = Damage(48, _UNFINISHED)
            raise corruption.error(name)
        notes = (*notes, f"{_UNFINISHED}; it was read to its end.") if size > header.data_offset else notes
    elif header.data_offset + header.data_size > size and not options.salvage:
        missing = header.data_offset + header.data_size - size
        raise Damage(size, f"the file ends, and {missing} bytes of its data are missing")
    scan = Scan(header.events, header.features, options.event)
    file.seek(header.data_offset)
    try:
        scan.run(Feed(file, header.data_offset, left))
    except NeedsUnwindingError as needed:
        file.seek(0)
        profile = read_through_perf(name, file, str(needed), options)
        missing = header.data_offset + header.data_size - size
        if missing > 0:
            notes = (*notes, f"The file ends {missing} bytes before its data do.")
        return replace(profile, info=replace(profile.info, notes=(*notes, *profile.info.notes)))
    return _profile(scan, options, notes)


def _read_pipe(source: Source, options: ReadOptions) -> Profile:
    stream = Remembering(source.stream)
    head = bytearray(PIPE_HEADER_BYTES)
    read_pipe_header(bytes(head[: stream.readinto(memoryview(head)) or 0]))
    scan = Scan([], Features(), options.event)
    try:
        scan.run(Feed(stream, PIPE_HEADER_BYTES, None), prepared=stream.forget)
    except NeedsUnwindingError as needed:
        with tempfile.TemporaryFile() as copy:
            if not stream.everything(copy):
                raise ProfileError(
                    f"{source.name} is too long to be given to perf.", hint="Record into a file."
                ) from None
            return read_through_perf(source.name, copy, str(needed), options)
    return _profile(scan, options, ())


def _profile(scan: Scan, options: ReadOptions, notes: tuple[str, ...]) -> Profile:
    if scan.corruption:
        if not options.salvage:
            raise scan.corruption
        notes = (*notes, scan.corruption.note())
    assert scan.event
    if scan.threads.gave_up:
        notes = (*notes, "Maps changed more often than can be followed: some frames may have the name of a later file.")
    named = name_all(scan, options)
    return Profile(
        named.frames, named.stacks, named.threads, named.samples, _info(scan, named.truncated, (*notes, *named.notes))
    )


def _info(scan: Scan, truncated: int, notes: tuple[str, ...]) -> Info:
    assert scan.event
    rows = scan.rows
    real = [event for event in scan.events if not event.is_dummy or event is scan.event]
    names = dict(zip(map(id, real), shown_names(real), strict=True))
    timed = rows.first is not None
    info = Info(
        event=names[id(scan.event)],
        unit=scan.event.unit,
        # Samples that were lost are counted by the buffers and, by newer kernels, by the events once more.
        lost=max(scan.threads.lost),
        truncated=truncated,
        notes=notes,
        other_events=tuple(names[id(event)] for event in real if event is not scan.event),
    )
    if not timed or rows.first is None:
        return info
    return replace(
        info, seconds=(rows.last - rows.first) / 1e9, interval_s=rows.interval_ns / 1e9, intervals=rows.intervals
    )
