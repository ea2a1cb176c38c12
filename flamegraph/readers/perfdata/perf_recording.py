"""Reads a recording: a file or a stream, directly or through `perf script`."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, cast

from flamegraph.errors import ProfileError
from flamegraph.profile import Info, Profile
from flamegraph.readers import ReadOptions
from flamegraph.readers.perfdata.events import shown_names
from flamegraph.readers.perfdata.formats import MAGIC, PIPE_HEADER_BYTES, Corruption
from flamegraph.readers.perfdata.header import Features, read_header, read_pipe_header
from flamegraph.readers.perfdata.naming import name_all
from flamegraph.readers.perfdata.scan import NeedsUnwindingError, Scan
from flamegraph.readers.perfdata.stream import Feed
from flamegraph.readers.source import InputSource

_UNFINISHED = "perf was terminated before it completed this recording: its header gives no data size"


def read_recording(source: InputSource, options: ReadOptions) -> Profile:
    """Read a perf.data. Raises `BrokenProfileError` with the byte offset of the corruption."""
    _refuse_foreign(source)
    try:
        if source.head[8:16] == struct.pack("<Q", PIPE_HEADER_BYTES):
            return _read_pipe(source, options)
        with as_file(source, options) as (file, notes):
            return _read_file(source.name, file, options, notes)
    except Corruption as corruption:
        raise corruption.error(source.name) from corruption


def _refuse_foreign(source: InputSource) -> None:
    # perf writes the magic as a number, so that its bytes show the byte order of the machine.
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
        raise Corruption(40, f"its data begins at byte {header.data_offset}, after its end")
    if header.truncated:
        if not options.salvage:
            raise header.truncated
        notes = (*notes, header.truncated.note())
    if not header.data_size:
        if not options.salvage and size > header.data_offset:
            corruption = Corruption(48, _UNFINISHED)
            raise corruption.error(name)
        notes = (*notes, f"{_UNFINISHED}; it was read to its end.") if size > header.data_offset else notes
    elif header.data_offset + header.data_size > size and not options.salvage:
        missing = header.data_offset + header.data_size - size
        raise Corruption(size, f"the file ends, and {missing} bytes of its data are missing")
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


def _read_pipe(source: InputSource, options: ReadOptions) -> Profile:
    stream = ReplayableStream(source.stream)
    head = bytearray(PIPE_HEADER_BYTES)
    read_pipe_header(bytes(head[: stream.readinto(memoryview(head)) or 0]))
    scan = Scan([], Features(), options.event)
    try:
        scan.run(Feed(stream, PIPE_HEADER_BYTES, None), prepared=stream.drop)
    except NeedsUnwindingError as needed:
        with tempfile.TemporaryFile() as copy:
            if not stream.copy_to(copy):
                raise ProfileError(
                    f"{source.name} is too long to be passed to perf.", hint="Record into a file."
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
        notes = (
            *notes,
            "Maps changed more often than the reader can track: some frames may have the name of a later file.",
        )
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
        # Lost samples are counted by the buffers and, in newer kernels, again by the events.
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


_COPY = 1 << 20
_MAX_KEPT = 256 << 20


@contextmanager
def as_file(source: InputSource, options: ReadOptions) -> Iterator[tuple[io.FileIO, tuple[str, ...]]]:
    """The recording as a plain file, and notes. A stream is copied to a temporary file: its features are at the end."""
    if source.path:
        with io.FileIO(source.path) as file:
            yield file, ()
        return
    with tempfile.TemporaryFile(buffering=0) as copy:
        yield copy, _copy(source.stream, copy, options)


def _copy(stream: io.BufferedReader, copy: io.FileIO, options: ReadOptions) -> tuple[str, ...]:
    size = 0
    while True:
        try:
            # read() would lose the bytes decompressed before a corruption.
            piece = stream.read1(_COPY)
        except (OSError, EOFError, zlib.error) as error:
            corruption = Corruption(size, f"reading failed: {error}")
            if not options.salvage:
                raise corruption from error
            return (corruption.note(),)
        if not piece:
            return ()
        try:
            # write() of a raw file may be partial.
            view = memoryview(piece)
            while view:
                view = view[copy.write(view) :]
        except OSError as error:
            raise ProfileError(
                f"The recording cannot be copied to a temporary file: {error.strerror}.",
                hint="Set TMPDIR to a folder with enough space, or decompress it and name the file.",
            ) from error
        size += len(piece)


class ReplayableStream:
    """A stream that keeps what was read, to be copied from its start, until `drop` is called."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._pieces: list[bytes] | None = []
        self._size = 0

    def readinto(self, into: memoryview, /) -> int | None:
        """Read the next bytes."""
        got = self._stream.readinto1(into)
        if got and self._pieces is not None:
            self._pieces.append(bytes(into[:got]))
            self._size += got
            if self._size > _MAX_KEPT:
                self.drop()
        return got

    def drop(self) -> None:
        """Free the memory: the start of the stream is not needed again."""
        self._pieces = None

    def copy_to(self, into: BinaryIO) -> bool:
        """Copy the stream from its start to its end; False where the start was dropped."""
        if self._pieces is None:
            return False
        for piece in self._pieces:
            into.write(piece)
        buffer = memoryview(bytearray(_COPY))
        while got := self._stream.readinto(buffer):
            into.write(buffer[:got])
        into.flush()
        return True


_LAST_LINES = 3


def read_through_perf(name: str, file: io.FileIO | BinaryIO, option: str, options: ReadOptions) -> Profile:
    """Read a recording that needs unwinding through `perf script`. `file`: read by descriptor, from its start."""
    program = shutil.which("perf")
    if program is None:
        raise ProfileError(
            f"{name} was recorded with {option}: its stacks have to be unwound by perf, which is not installed.",
            hint="Install perf (Debian: linux-perf), or record with --call-graph fp.",
        )
    with _running(program, file.fileno()) as (process, errors):
        assert process.stdout
        text = cast(io.BufferedReader, io.BufferedReader(cast(io.RawIOBase, process.stdout), 1 << 20))
        profile = _read_text(InputSource(f"{name} (through perf script)", text, None), process, errors, options)
    note = f"Recorded with {option}: perf script unwound the stacks and named the functions."
    return replace(profile, info=replace(profile.info, notes=(note, *profile.info.notes)))


def _read_text(
    source: InputSource, process: subprocess.Popen[bytes], errors: BinaryIO, options: ReadOptions
) -> Profile:
    from flamegraph.readers import perf_script

    try:
        profile = perf_script.read(source, options)
    except ProfileError as error:
        if process.wait() == 0:
            raise
        raise _failed(process.returncode, errors) from error
    if process.wait() == 0:
        return profile
    failed = _failed(process.returncode, errors)
    if not options.salvage:
        raise failed
    notes = (f"Incomplete: {failed.message}", *profile.info.notes)
    return replace(profile, info=replace(profile.info, notes=notes))


def _failed(status: int, errors: BinaryIO) -> ProfileError:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    reason = "; ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip())
    return ProfileError(f"perf script failed with status {status}: {reason or 'no error message'}.")


@contextmanager
def _running(program: str, descriptor: int) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    # --force: perf refuses files of other users, even for root. --no-inline: addr2line takes perf 6.1 hours.
    path = f"/proc/self/fd/{descriptor}"
    command = [program, "script", "--force", "--no-inline", "-F", "+pid", "-i", path]
    environment = {**os.environ, "PERF_CONFIG": os.devnull, "LC_ALL": "C"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            pass_fds=[descriptor],
            env=environment,
        )
        try:
            yield process, errors
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
