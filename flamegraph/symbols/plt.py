"""Names of the stubs of the procedure linkage table: `name@plt`, as in perf and objdump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flamegraph.symbols.elf import EM_386, EM_AARCH64, EM_X86_64, LOCAL, SHT_DYNSYM, Elf, ElfSection, Functions

if TYPE_CHECKING:
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]

_SUFFIX = b"@plt"
# Offset of `jmp *slot(%rip)` (ff 25) in a stub: 0, or after a bnd prefix, endbr64, or both.
_JUMPS = (0, 1, 4, 5)
# Size of header and entry in bytes of tables whose stubs are in the order of their relocations.
_ORDERED = {EM_386: (16, 16), EM_AARCH64: (32, 16)}
_MAX_NAME = 4096


def plt_functions(elf: Elf) -> Functions | None:
    """The stubs as symbols; None where the file has none or its machine is not supported.

    Raises `ElfError` for a corrupt table.
    """
    found = elf.symbols(SHT_DYNSYM)
    if found is None:
        return None
    rows, strings = found
    if elf.machine == EM_X86_64:
        start, size, symbol = _by_slot(elf)
    elif elf.machine in _ORDERED:
        start, size, symbol = _by_order(elf, *_ORDERED[elf.machine])
    else:
        return None
    named = (symbol > 0) & (symbol < len(rows))
    start, size, symbol = start[named], size[named], symbol[named]
    return _functions(start, size, [_name(strings, int(at)) for at in rows["name"][symbol]])


def _by_slot(elf: Elf) -> tuple[Addresses, Addresses, Numbers]:
    """Address, size and dynamic symbol of each stub, found by the slot of the GOT that it jumps through."""
    slots, symbols = _relocations(elf, (b".rela.plt", b".rela.dyn"))
    starts, sizes, jumps = [], [], []
    for section in _sections(elf, (b".plt", b".plt.got", b".plt.sec")):
        entry = section.entsize if section.entsize in (8, 16) else 16
        data = elf.content(section)
        stubs = np.frombuffer(data[: len(data) - len(data) % entry], np.uint8).reshape(-1, entry)
        base = np.uint64(section.addr) + np.arange(len(stubs), dtype=np.uint64) * np.uint64(entry)
        for at in _JUMPS:
            if at + 6 > entry:
                continue
            chosen = np.flatnonzero((stubs[:, at] == 0xFF) & (stubs[:, at + 1] == 0x25))
            distance = stubs[chosen, at + 2 : at + 6].copy().view("<i4").reshape(-1).astype(np.int64).view(np.uint64)
            starts.append(base[chosen])
            sizes.append(np.full(len(chosen), entry, np.uint64))
            jumps.append(base[chosen] + np.uint64(at + 6) + distance)
    if not starts or not len(slots):
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
    jump = np.concatenate(jumps)
    place = np.minimum(np.searchsorted(slots, jump), len(slots) - 1)
    symbol = np.where(slots[place] == jump, symbols[place], 0)
    return np.concatenate(starts), np.concatenate(sizes), symbol


def _by_order(elf: Elf, header: int, entry: int) -> tuple[Addresses, Addresses, Numbers]:
    _, symbol = _relocations(elf, (b".rela.plt", b".rel.plt"), in_order=True)
    section = elf.section(b".plt")
    if section is None or section.size != header + entry * len(symbol):
        symbol = symbol[:0]
    first = np.uint64((section.addr if section else 0) + header)
    start = first + np.arange(len(symbol), dtype=np.uint64) * np.uint64(entry)
    return start, np.full(len(symbol), entry, np.uint64), symbol


def _relocations(elf: Elf, names: tuple[bytes, ...], in_order: bool = False) -> tuple[Addresses, Numbers]:
    """The slot and the dynamic symbol of each relocation, sorted by slot unless `in_order`."""
    word = elf.order + ("u8" if elf.wide else "u4")
    slots, symbols = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for section in _sections(elf, names):
        fields = [("slot", word), ("info", word)]
        if section.name.startswith(b".rela"):
            fields.append(("addend", word))
        row = np.dtype(fields)
        rows = np.frombuffer(elf.complete_rows(section, row), row)
        slots.append(rows["slot"].astype(np.uint64))
        symbols.append((rows["info"] >> (32 if elf.wide else 8)).astype(np.int64))
    slot, symbol = np.concatenate(slots), np.concatenate(symbols)
    if in_order:
        return slot, symbol
    chosen = np.flatnonzero(symbol)
    chosen = chosen[np.argsort(slot[chosen], kind="stable")]
    return slot[chosen], symbol[chosen]


def _sections(elf: Elf, names: tuple[bytes, ...]) -> list[ElfSection]:
    return [section for section in map(elf.section, names) if section is not None]


def _name(strings: bytes, at: int) -> bytes:
    end = strings.find(b"\0", at, at + _MAX_NAME)
    return strings[at : end if end >= 0 else at + _MAX_NAME]


def _functions(start: Addresses, size: Addresses, names: list[bytes]) -> Functions:
    lengths = np.array([len(name) + len(_SUFFIX) + 1 for name in names], np.int64)
    return Functions(
        start,
        size,
        start + size,
        np.full(len(names), LOCAL, np.int64),
        np.cumsum(lengths) - lengths,
        b"".join(name + _SUFFIX + b"\0" for name in names),
    )
