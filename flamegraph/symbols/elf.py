"""ELF files: sections, segments, build-id, and symbol tables as arrays. Either word size, either byte order.

A file is read with `pread` and never mapped, since SIGBUS would end the process if the file shrank meanwhile.
No offset or count is trusted before it is compared with the size of the file.
"""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

EM_386, EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 3, 40, 62, 183, 243
SHT_SYMTAB, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 2, 7, 8, 11
SHF_EXECINSTR = 4
PT_LOAD, PT_NOTE = 1, 4
PF_X = 1
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC = 0, 1, 2, 10
STB_GLOBAL, STB_WEAK = 1, 2
GLOBAL, LOCAL, WEAK = 0, 1, 2
"""Rank of a binding among aliases; the smaller rank is preferred."""

_MAX_HEADERS = 1 << 16
_MAX_TABLE = 256 << 20
_MAX_STRINGS = 512 << 20
_MAX_NOTE = 1 << 16
_MAX_UNPACKED = 64 << 20
_RESERVED_INDEX = 0xFF00


class ElfError(Exception):
    """Not an ELF file, or a corrupt one; the message gives the reason."""


class Bytes(Protocol):
    """Source of the bytes of an ELF file."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises `ElfError` where the file ends before."""


class FileBytes:
    """Bytes of an open descriptor, which the caller closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        _check_inside(offset, length, self.size)
        pieces, missing = [], length
        while missing:
            piece = os.pread(self._descriptor, min(missing, 1 << 30), offset + length - missing)
            if not piece:
                raise ElfError("it was truncated while it was read")
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class MemoryBytes:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        _check_inside(offset, length, self.size)
        return self._data[offset : offset + length]


class ElfSection(NamedTuple):
    """One entry of the section table."""

    name: bytes
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int


class Segment(NamedTuple):
    """One entry of the program header table."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


class Functions(NamedTuple):
    """Code symbols of one table, in the order of the table.

    `start`, `size`, `limit` (end of the section of the symbol, 0 where it is unknown): uint64; `rank`: GLOBAL, LOCAL or
    WEAK; `name`: offset of each name in `strings`.
    """

    start: Addresses
    size: Addresses
    limit: Addresses
    rank: Numbers
    name: Numbers
    strings: bytes


class Elf:
    """An ELF file. Each property raises `ElfError` where the part that it reads is corrupt."""

    def __init__(self, source: Bytes) -> None:
        self._source = source
        ident = source.read(0, min(16, source.size))
        if len(ident) < 16 or ident[:4] != b"\x7fELF":
            raise ElfError("it is not an ELF file")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError("its word size or byte order is unknown")
        self.wide = ident[4] == 2
        self.order = "<" if ident[5] == 1 else ">"
        layout = self.order + ("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH")
        fields = struct.unpack(layout, source.read(16, struct.calcsize(layout)))
        self.type, self.machine = fields[0], fields[1]
        self._phoff, self._shoff = fields[4], fields[5]
        self._phentsize, self._phnum, self._shentsize, self._shnum, self._shstrndx = fields[8:13]

    @cached_property
    def sections(self) -> list[ElfSection]:
        """The section table; empty where the file has none."""
        if not self._shoff:
            return []
        layout = struct.Struct(self.order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII"))
        if self._shentsize != layout.size:
            raise ElfError(f"its section headers are {self._shentsize} bytes long instead of {layout.size}")
        first = layout.unpack(self._source.read(self._shoff, layout.size))
        count = self._shnum or first[5]
        names = first[6] if self._shstrndx == 0xFFFF else self._shstrndx
        if count > _MAX_HEADERS:
            raise ElfError(f"its header gives {count} sections")
        raw = list(layout.iter_unpack(self._source.read(self._shoff, count * layout.size)))
        strings = b""
        if 0 < names < count and raw[names][1] != SHT_NOBITS:
            strings = self._source.read(raw[names][4], min(raw[names][5], 1 << 24))
        return [ElfSection(_text(strings, row[0]), *row[1:]) for row in raw]

    @cached_property
    def segments(self) -> list[Segment]:
        """The program header table."""
        if not self._phoff or not self._phnum:
            return []
        count = self._phnum
        if count == 0xFFFF and self.sections:
            count = self.sections[0].info
        layout = struct.Struct(self.order + ("IIQQQQQQ" if self.wide else "IIIIIIII"))
        if self._phentsize != layout.size or count > _MAX_HEADERS:
            raise ElfError(f"its header gives {count} program headers of {self._phentsize} bytes")
        rows = layout.iter_unpack(self._source.read(self._phoff, count * layout.size))
        if self.wide:
            return [Segment(kind, flags, at, va, fs, ms, al) for kind, flags, at, va, _, fs, ms, al in rows]
        return [Segment(kind, flags, at, va, fs, ms, al) for kind, at, va, _, fs, ms, flags, al in rows]

    @cached_property
    def build_id(self) -> bytes | None:
        """The content of the `NT_GNU_BUILD_ID` note; None where there is none."""
        # Sections first: in a file of `objcopy --only-keep-debug` the section of the note is valid, its segment is not.
        places = [
            (section.offset, section.size, section.align)
            for section in self._sections_or_none()
            if section.type == SHT_NOTE
        ]
        places += [
            (segment.offset, segment.filesz, segment.align) for segment in self.segments if segment.type == PT_NOTE
        ]
        for offset, size, align in places[:64]:
            if size <= _MAX_NOTE and offset + size <= self._source.size:
                found = gnu_build_id(self._source.read(offset, size), self.order, align)
                if found:
                    return found
        return None

    @cached_property
    def debug_link(self) -> tuple[str, int] | None:
        """Name and CRC-32 of the separate debug file, from `.gnu_debuglink`."""
        section = self.section(b".gnu_debuglink")
        if section is None or not 8 <= section.size <= _MAX_NOTE:
            return None
        data = self.content(section, _MAX_NOTE)
        name = _text(data, 0)
        at = (len(name) + 4) & ~3
        if not name or at + 4 > len(data):
            return None
        return os.fsdecode(name), struct.unpack_from(self.order + "I", data, at)[0]

    def minidebug(self) -> Elf | None:
        """The ELF file in `.gnu_debugdata`, compressed with xz: function names that `.dynsym` lacks."""
        section = self.section(b".gnu_debugdata")
        if section is None:
            return None
        unpacker = lzma.LZMADecompressor(memlimit=256 << 20)
        try:
            data = unpacker.decompress(self.content(section, _MAX_UNPACKED), _MAX_UNPACKED)
        except (lzma.LZMAError, EOFError, MemoryError) as error:
            raise ElfError(f"its .gnu_debugdata cannot be decompressed ({error})") from error
        if not unpacker.eof:
            raise ElfError("its .gnu_debugdata is truncated, or larger than 64 MiB when decompressed")
        return Elf(MemoryBytes(data))

    def section(self, name: bytes) -> ElfSection | None:
        """The first section with this name."""
        return next((section for section in self._sections_or_none() if section.name == name), None)

    def content(self, section: ElfSection, limit: int = _MAX_TABLE) -> bytes:
        """The bytes of a section; empty for a section without bytes in the file."""
        if section.type == SHT_NOBITS:
            return b""
        if section.size > limit:
            raise ElfError(f"its section {section.name.decode(errors='backslashreplace')} is {section.size} bytes long")
        return self._source.read(section.offset, section.size)

    def symbols(self, kind: int) -> tuple[npt.NDArray[np.void], bytes] | None:
        """Rows (name, info, other, shndx, value, size) of the first table of a type, and its strings."""
        table = next((section for section in self._sections_or_none() if section.type == kind), None)
        if table is None:
            return None
        rows = np.frombuffer(self.complete_rows(table, self._symbol_type), self._symbol_type)
        if table.link >= len(self.sections):
            raise ElfError("its symbol table names no string table")
        return rows, self.content(self.sections[table.link], _MAX_STRINGS)

    def complete_rows(self, section: ElfSection, row: np.dtype[np.void]) -> bytes:
        """The content of a section of rows, without an incomplete last one."""
        if section.entsize not in (0, row.itemsize):
            raise ElfError(f"rows of {section.name.decode(errors='backslashreplace')} are {section.entsize} bytes long")
        data = self.content(section)
        return data[: len(data) - len(data) % row.itemsize]

    def functions(self, kind: int) -> Functions | None:
        """Code symbols of `.symtab` (SHT_SYMTAB) or `.dynsym` (SHT_DYNSYM); None where there is no such table."""
        found = self.symbols(kind)
        if found is None:
            return None
        rows, strings = found
        section, kinds = rows["shndx"], rows["info"] & 15
        is_function = (kinds == STT_FUNC) | (kinds == STT_GNU_IFUNC)
        executable, ends = self._section_arrays()
        known = section < len(ends)
        place = np.where(known, section, 0)
        # Labels and tables of assembler code count where they are in executable sections.
        is_label = ((kinds == STT_NOTYPE) | (kinds == STT_OBJECT)) & known & executable[place]
        keep = (is_function | is_label) & (section != 0) & (rows["name"] != 0) & (rows["name"] < len(strings))
        if self.machine in (EM_ARM, EM_AARCH64, EM_RISCV):
            keep &= ~_is_mapping_symbol(rows["name"], kinds, strings)
        rows, known, place = rows[keep], known[keep], place[keep]
        start = rows["value"].astype(np.uint64)
        if self.machine == EM_ARM:
            start &= ~np.uint64(1)  # marks Thumb code
        binding = rows["info"] >> 4
        rank = np.where(binding == STB_GLOBAL, GLOBAL, np.where(binding == STB_WEAK, WEAK, LOCAL))
        limit = np.where(known, ends[place], np.uint64(0))
        return Functions(
            start,
            rows["size"].astype(np.uint64),
            limit,
            rank.astype(np.int64),
            rows["name"].astype(np.int64),
            strings,
        )

    def crc32(self) -> int:
        """CRC-32 of the whole file, as in `.gnu_debuglink`."""
        crc = 0
        for offset in range(0, self._source.size, 1 << 20):
            crc = zlib.crc32(self._source.read(offset, min(1 << 20, self._source.size - offset)), crc)
        return crc

    @cached_property
    def _symbol_type(self) -> np.dtype[np.void]:
        o = self.order
        if self.wide:
            names = ("name", "info", "other", "shndx", "value", "size")
            return np.dtype(list(zip(names, (f"{o}u4", "u1", "u1", f"{o}u2", f"{o}u8", f"{o}u8"), strict=True)))
        names = ("name", "value", "size", "info", "other", "shndx")
        return np.dtype(list(zip(names, (f"{o}u4", f"{o}u4", f"{o}u4", "u1", "u1", f"{o}u2"), strict=True)))

    def _sections_or_none(self) -> list[ElfSection]:
        # Loading needs only the program headers: a corrupt section table must not hide the build-id.
        try:
            return self.sections
        except ElfError:
            return []

    def _section_arrays(self) -> tuple[npt.NDArray[np.bool_], Addresses]:
        """Whether each section is executable, and its end address."""
        sections = self.sections[:_RESERVED_INDEX]
        executable = np.array([bool(section.flags & SHF_EXECINSTR) for section in sections], bool)
        ends = np.array([min(section.addr + section.size, (1 << 64) - 1) for section in sections], np.uint64)
        return executable, ends


class Segments:
    """Virtual addresses of the bytes of a file, from its `PT_LOAD` headers."""

    def __init__(self, elf: Elf) -> None:
        loads = [segment for segment in elf.segments if segment.type == PT_LOAD and segment.filesz]
        # Code first: a page shared by two segments is in the file once and mapped twice.
        self._loads = sorted(loads, key=lambda segment: not segment.flags & PF_X)[:256]

    def __len__(self) -> int:
        return len(self._loads)

    def addresses(self, offsets: Addresses) -> tuple[Addresses, npt.NDArray[np.bool_]]:
        """Addresses of file offsets (uint64), and whether each offset is in a segment."""
        found = np.zeros(len(offsets), np.uint64)
        inside = np.zeros(len(offsets), bool)
        for load in self._loads:
            at, size = np.uint64(load.offset), np.uint64(load.filesz)
            chosen = ~inside & (offsets >= at) & (offsets - at < size)
            found[chosen] = offsets[chosen] - at + np.uint64(load.vaddr)
            inside |= chosen
        return found, inside


def same_build_id(first: bytes, second: bytes) -> bool:
    """Whether two build-ids are equal; older perf.data files pad them with zeros."""
    length = max(len(first), len(second))
    return first.ljust(length, b"\0") == second.ljust(length, b"\0") and any(first)


def gnu_build_id(data: bytes, order: str, align: int) -> bytes | None:
    """The build-id among the notes of a section or segment."""
    mask = 7 if align == 8 else 3
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        body = (at + 12 + name_size + mask) & ~mask
        if kind == 3 and data[at + 12 : at + 12 + name_size] == b"GNU\0" and 0 < size <= 64:
            return data[body : body + size] if body + size <= len(data) else None
        at = (body + size + mask) & ~mask
    return None


def _check_inside(offset: int, length: int, size: int) -> None:
    if offset < 0 or length < 0 or offset + length > size:
        raise ElfError(f"it ends at byte {size}, before the {length} bytes at {offset}")


def _text(strings: bytes, at: int) -> bytes:
    end = strings.find(b"\0", at)
    return strings[at : end if end >= 0 else len(strings)]


def _is_mapping_symbol(
    name: npt.NDArray[np.integer], kinds: npt.NDArray[np.integer], strings: bytes
) -> npt.NDArray[np.bool_]:
    """Whether each symbol is `$x`, `$d` or `.L…`, which mark boundaries of code and data."""
    letters = np.frombuffer(strings + b"\0", np.uint8)
    first = letters[np.minimum(name, len(strings))]
    marks: npt.NDArray[np.bool_] = (kinds == STT_NOTYPE) & ((first == ord("$")) | (first == ord(".")))
    return marks
