"""Describes a classic BPF steering program by interpreting it for every CPU.

Source: Documentation/networking/filter.rst in the kernel tree; the extensions SKF_AD_… in linux/filter.h.
"""

from __future__ import annotations

from collections.abc import Sequence

Instruction = tuple[int, int, int, int]  # code, jt, jf, k

_CPU = 0xFFFFF000 + 36  # SKF_AD_OFF + SKF_AD_CPU
_WORD = 0xFFFFFFFF
_MODES = {0x00: "immediate", 0x20: "absolute", 0x60: "memory"}


class DependsOnPacketError(Exception):
    """The result of the program depends on the packet, not on the CPU number alone."""


def index_by_cpu(program: Sequence[Instruction], cpus: Sequence[int]) -> dict[int, int] | None:
    """The index that the program returns on each CPU; None if it depends on the packet or the program is invalid."""
    try:
        return {cpu: _run(program, cpu) for cpu in cpus}
    except (DependsOnPacketError, LookupError):
        return None


def describe(program: Sequence[Instruction], cpus: Sequence[int], size: int) -> str:
    """The return value of the program, as text."""
    indexes = index_by_cpu(program, [*cpus, *range(max(64, 4 * size))])
    if indexes is None:
        return f"not a function of the CPU number ({len(program)} instructions)"
    if all(index == cpu for cpu, index in indexes.items()):
        return "returns the CPU number"
    if len(set(indexes.values())) == 1:
        return f"returns {next(iter(indexes.values()))}"
    for modulus in {size, *range(1, 65)}:
        if modulus and all(index == cpu % modulus for cpu, index in indexes.items()):
            return f"returns the CPU number modulo {modulus}"
    pairs = ", ".join(f"CPU {cpu} → {indexes[cpu]}" for cpu in list(cpus)[:8])
    return f"a function of the CPU number ({pairs}{' …' if len(cpus) > 8 else ''})"


def _run(program: Sequence[Instruction], cpu: int) -> int:
    accumulator = index = 0
    memory = [0] * 16
    position = 0
    while True:
        code, jump_true, jump_false, k = program[position]
        position += 1
        kind, source = code & 0x07, index if code & 0x08 else k
        if kind == 0x00:
            accumulator = _load(code, k, cpu, memory)
        elif kind == 0x01:
            index = _load(code, k, cpu, memory)
        elif kind in (0x02, 0x03):
            memory[k] = accumulator if kind == 0x02 else index
        elif kind == 0x04 and code & 0xF0 in (0x30, 0x90) and not source:
            # The kernel terminates a program that divides by zero, with the result 0.
            return 0
        elif kind == 0x04:
            accumulator = _calculate(code & 0xF0, accumulator, source)
        elif kind == 0x05:
            # All jumps are forward, so the loop terminates.
            position += k if code & 0xF0 == 0 else jump_true if _compare(code, accumulator, source) else jump_false
        elif kind == 0x06:
            return accumulator if code & 0x18 == 0x10 else k
        elif code & 0x80:
            accumulator = index
        else:
            index = accumulator


def _load(code: int, k: int, cpu: int, memory: Sequence[int]) -> int:
    mode = _MODES.get(code & 0xE0)
    if mode == "immediate":
        return k
    if mode == "memory":
        return memory[k]
    if mode == "absolute" and k == _CPU:
        return cpu
    raise DependsOnPacketError


def _calculate(operation: int, left: int, right: int) -> int:
    results = {
        0x00: left + right,
        0x10: left - right,
        0x20: left * right,
        0x40: left | right,
        0x50: left & right,
        0x60: left << (right & 31),
        0x70: left >> (right & 31),
        0x80: -left,
        0xA0: left ^ right,
    }
    if operation in (0x30, 0x90):
        return left // right if operation == 0x30 else left % right
    return results[operation] & _WORD


def _compare(code: int, left: int, right: int) -> bool:
    return {0x10: left == right, 0x20: left > right, 0x30: left >= right, 0x40: bool(left & right)}[code & 0xF0]
