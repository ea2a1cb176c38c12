"""Paths of separate debug files on this machine, and checks of their identity."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flamegraph.symbols.elf import Elf, ElfError, FileBytes, same_build_id
from flamegraph.symbols.rooted import open_below

_DEBUG = "/usr/lib/debug"
_MAX_CHECKED = 2 << 30


def build_id_path(build_id: bytes) -> str:
    """Path where distributions install the debug file of a build-id."""
    digits = build_id.hex()
    return f"{_DEBUG}/.build-id/{digits[:2]}/{digits[2:]}.debug"


def cached_program_path(build_id: bytes) -> str:
    """Path where `perf record` keeps a copy of the program (`perf buildid-cache`)."""
    digits = build_id.hex()
    return f".build-id/{digits[:2]}/{digits[2:]}/elf"


def debug_link_paths(path: str, name: str) -> list[str]:
    """Paths where gdb searches for a `.gnu_debuglink`; none for a name that is not a plain file name."""
    if "/" in name or "\0" in name or name in (".", ".."):
        return []
    folder = os.path.dirname(path)
    return [f"{folder}/{name}", f"{folder}/.debug/{name}", f"{_DEBUG}{folder}/{name}"]


@contextmanager
def open_by_build_id(root: Path, path: str, build_id: bytes) -> Iterator[Elf]:
    """Open an ELF file below a root directory, with this build-id. Raises OSError or `ElfError`."""
    with open_below(root, path) as file:
        elf = Elf(FileBytes(file))
        if elf.build_id is None or not same_build_id(elf.build_id, build_id):
            raise ElfError("its build-id differs")
        yield elf


@contextmanager
def open_by_crc(root: Path, path: str, crc: int, build_id: bytes | None) -> Iterator[Elf]:
    """Open an ELF file below a root directory, with this CRC-32 and no other build-id. Raises OSError or `ElfError`."""
    with open_below(root, path) as file:
        source = FileBytes(file)
        elf = Elf(source)
        if build_id and elf.build_id and not same_build_id(elf.build_id, build_id):
            raise ElfError("its build-id differs")
        if source.size > _MAX_CHECKED or elf.crc32() != crc:
            raise ElfError("its checksum differs from that of .gnu_debuglink")
        yield elf
