"""Where the separate debug file of a program lies on this machine."""

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
    """Where distributions install it."""
    digits = build_id.hex()
    return f"{_DEBUG}/.build-id/{digits[:2]}/{digits[2:]}.debug"


def cached_program_path(build_id: bytes) -> str:
    """Where `perf record` keeps a copy of the program itself (`perf buildid-cache`)."""
    digits = build_id.hex()
    return f".build-id/{digits[:2]}/{digits[2:]}/elf"


def debug_link_paths(path: str, name: str) -> list[str]:
    """Where gdb looks for a `.gnu_debuglink`; none for a name that is no plain file name."""
    if "/" in name or "\0" in name or name in (".", ".."):
        return []
    folder = os.path.dirname(path)
    return [f"{folder}/{name}", f"{folder}/.debug/{name}", f"{_DEBUG}{folder}/{name}"]


@contextmanager
def open_by_build_id(root: Path, path: str, build_id: bytes) -> Iterator[Elf]:
    """An ELF file below a root that has this build-id. Raises OSError or `ElfError`."""
    with open_below(root, path) as file:
        elf = Elf(FileBytes(file))
        if elf.build_id is None or not same_build_id(elf.build_id, build_id):
            raise ElfError("its build-id is another one")
        yield elf


@contextmanager
def open_by_crc(root: Path, path: str, crc: int, build_id: bytes | None) -> Iterator[Elf]:
    """An ELF file below a root that has this CRC-32 and no other build-id. Raises OSError or `ElfError`."""
    with open_below(root, path) as file:
        source = FileBytes(file)
        elf = Elf(source)
        if build_id and elf.build_id and not same_build_id(elf.build_id, build_id):
            raise ElfError("its build-id is another one")
        if source.size > _MAX_CHECKED or elf.crc32() != crc:
            raise ElfError("its checksum is not the one that .gnu_debuglink names")
        yield elf
