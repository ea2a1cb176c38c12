"""Recordings whose stacks only perf can work out: its text is read instead."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, cast

from flamegraph.errors import ProfileError
from flamegraph.profile import Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.source import Source

_LAST_LINES = 3


def read_through_perf(name: str, file: io.FileIO | BinaryIO, why: str, options: ReadOptions) -> Profile:
    """The profile of a recording, by way of `perf script`. `file`: has a descriptor; it is read from its start."""
    program = shutil.which("perf")
    if program is None:
        raise ProfileError(
            f"{name} was recorded with {why}: its stacks have to be worked out by perf, which is not installed.",
            hint="Install perf (Debian: linux-perf), or record with --call-graph fp.",
        )
    with _running(program, file.fileno()) as (process, errors):
        assert process.stdout
        text = cast(io.BufferedReader, io.BufferedReader(cast(io.RawIOBase, process.stdout), 1 << 20))
        profile = _read_text(Source(f"{name} (through perf script)", text, None), process, errors, options)
    note = f"Recorded with {why}: perf script worked out the stacks, and named the functions."
    return replace(profile, info=replace(profile.info, notes=(note, *profile.info.notes)))


def _read_text(source: Source, process: subprocess.Popen[bytes], errors: BinaryIO, options: ReadOptions) -> Profile:
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
    notes = (f"Not complete: {failed.message}", *profile.info.notes)
    return replace(profile, info=replace(profile.info, notes=notes))


def _failed(status: int, errors: BinaryIO) -> ProfileError:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    said = "; ".join(line.strip() for line in lines[-_LAST_LINES:] if line.strip())
    return ProfileError(f"perf script failed with status {status}: {said or 'it did not say why'}.")


@contextmanager
def _running(program: str, descriptor: int) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    # --force: perf refuses files of other users, also to root. Inlined functions take perf 6.1 hours with addr2line.
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
