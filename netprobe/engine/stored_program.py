"""The stored form of a compiled program: instructions, definitions of maps, references from the first to the second."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netprobe.engine.bpf import INSTRUCTION_BYTES, MapDefinition
from netprobe.errors import NetprobeError

_INSTRUCTION = struct.Struct("=BBhi")
_LD_IMM64, _CALL = 0x18, 0x85
_PSEUDO_MAP_FD = 1
_MAX_UNSIGNED = 0xFFFFFFFF


@dataclass(frozen=True)
class Function:
    """Instructions, and the indexes of those that refer to a map by its descriptor."""

    code: bytes
    references: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, name: str, code: bytes, names: Mapping[int, str]) -> Function:
        """The function with zeros for the descriptors; `names`: name of each map by its descriptor.

        Raises `NetprobeError` for references that another process could not resolve.
        """
        blank, references, index = bytearray(code), [], 0
        while index < len(code) // INSTRUCTION_BYTES:
            operation, registers, _, value = _INSTRUCTION.unpack_from(code, index * INSTRUCTION_BYTES)
            pseudo = registers >> 4
            unknown = pseudo not in (0, _PSEUDO_MAP_FD) if operation == _LD_IMM64 else operation == _CALL and pseudo
            if unknown or (operation == _LD_IMM64 and pseudo and value not in names):
                raise NetprobeError(
                    f"netprobe's program {name} has a reference that cannot be stored (kind {pseudo}).",
                    hint="This is a bug of netprobe; please report it.",
                )
            if operation == _LD_IMM64:
                if pseudo:
                    references.append((index, names[value]))
                    struct.pack_into("=i", blank, index * INSTRUCTION_BYTES + 4, 0)
                # The instruction has two parts.
                index += 1
            index += 1
        return cls(bytes(blank), tuple(references))

    def for_maps(self, descriptors: Mapping[str, int]) -> bytearray:
        """The instructions with the descriptors of these maps."""
        code = bytearray(self.code)
        for index, name in self.references:
            struct.pack_into("=i", code, index * INSTRUCTION_BYTES + 4, descriptors[name])
        return code


@dataclass(frozen=True)
class StoredProgram:
    """All maps and functions by name, and the files of the compiler: (path, size, time of the last change)."""

    maps: Mapping[str, MapDefinition]
    functions: Mapping[str, Function]
    compiler: tuple[tuple[str, int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {
            "maps": self.maps,
            "functions": {name: [one.code.hex(), one.references] for name, one in self.functions.items()},
            "compiler": self.compiler,
        }

    @classmethod
    def from_json(cls, document: Any) -> StoredProgram:
        """Raises `ValueError`, `TypeError` or `KeyError` for anything else than a stored program."""
        maps = {name: MapDefinition(*map(int, fields)) for name, fields in document["maps"].items()}
        functions = {
            name: Function(bytes.fromhex(code), tuple((int(index), str(to)) for index, to in references))
            for name, (code, references) in document["functions"].items()
        }
        if not all(0 <= number <= _MAX_UNSIGNED for definition in maps.values() for number in definition):
            raise ValueError("a number of a map is out of range")
        for function in functions.values():
            size = len(function.code) // INSTRUCTION_BYTES
            if not all(0 <= index < size and to in maps for index, to in function.references):
                raise ValueError("a reference leads nowhere")
        compiler = tuple((str(path), int(size), int(changed)) for path, size, changed in document["compiler"])
        return cls(maps, functions, compiler)
