"""BPF maps: arrays through a memory map, hashes in batches, never with one system call per element.

A map whose key or value has another size than its NumPy type is refused: the C structure and the type are declared in
two languages, and must not differ. NumPy is not needed before a view or an array is used.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from netprobe.engine.bpf import BpfMap, delete_element, lookup_batch
from netprobe.engine.deferred import Deferred
from netprobe.errors import NetprobeError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = Deferred("numpy")

_BATCH_BYTES = 1 << 17
_CODES = {"u4": "I", "u8": "Q", "i8": "q"}


class Fields(list[tuple[str, str, tuple[int, ...]]]):
    """An element as for numpy.dtype: (name, format, shape) of each field of the structure, without padding."""

    def __init__(self, *fields: tuple[str, str] | tuple[str, str, tuple[int, ...]]) -> None:
        super().__init__((field[0], field[1], field[2] if len(field) > 2 else ()) for field in fields)

    @cached_property
    def struct(self) -> struct.Struct:
        """The same for `struct`; arrays are bytes."""
        codes = []
        for _, kind, shape in self:
            size = int(kind[1:]) * prod(shape)
            codes.append(f"{size}s" if shape or kind[0] == "S" else _CODES[kind])
        return struct.Struct("=" + "".join(codes))


class Numbers(NamedTuple):
    """An element as for numpy.dtype: an array of numbers, or a number where the shape is ()."""

    kind: str
    shape: tuple[int, ...] = ()


ElementType = Numbers | Fields


def element_size(element: ElementType) -> int:
    """Bytes of an element, without NumPy."""
    if isinstance(element, Fields):
        return element.struct.size
    return int(element.kind[1:]) * prod(element.shape)


class MappedArray:
    """The live memory of a BPF array map made with MMAPABLE, also as a NumPy view.

    The kernel rounds each element up to 8 bytes: `stride`.
    """

    def __init__(self, bpf_map: BpfMap, element: ElementType) -> None:
        self.size = element_size(element)
        bpf_map.check("value", self.size)
        self._element, self.entries = element, bpf_map.entries
        self.stride = (self.size + 7) // 8 * 8
        size = (bpf_map.entries * self.stride + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self.memory = mmap.mmap(bpf_map.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    @cached_property
    def view(self) -> npt.NDArray[Any]:
        """The elements."""
        return np.ndarray(self.entries, np.dtype(self._element), self.memory, strides=(self.stride,))

    def copy(self, index: int) -> bytes:
        """A copy of an element."""
        return self.memory[index * self.stride : index * self.stride + self.size]

    def close(self) -> None:
        """Unmap; the view must not be used any more."""
        self.__dict__.pop("view", None)
        self.memory.close()


class HashReader:
    """Reads a whole BPF hash map in a few system calls.

    Source: BPF_MAP_LOOKUP_BATCH, kernel 5.6 (commit cb4d03ab499d).
    """

    def __init__(self, bpf_map: BpfMap, key: ElementType, value: ElementType) -> None:
        self._fd, self._key, self._value = bpf_map.fd, key, value
        self._key_size, self._value_size = element_size(key), element_size(value)
        bpf_map.check("key", self._key_size)
        bpf_map.check("value", self._value_size)
        # The kernel refuses a call whose room is smaller than a hash bucket: never less than 64 elements.
        self._room = max(64, min(bpf_map.entries, _BATCH_BYTES // self._value_size))
        # Shared by all reads: a recording reads several times per second, and new buffers would fragment the heap.
        self._keys = ctypes.create_string_buffer(self._room * self._key_size)
        self._values = ctypes.create_string_buffer(self._room * self._value_size)

    def read_bytes(self) -> tuple[bytearray, bytearray]:
        """Copies of all keys and values. Not thread-safe: reads share their buffers."""
        keys, values = bytearray(), bytearray()
        # The position is a hash bucket; a key of 4 bytes has the same room.
        size = max(8, self._key_size)
        position, following = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
        start = 0
        while True:
            try:
                count, last = lookup_batch(
                    self._fd,
                    start,
                    ctypes.addressof(following),
                    ctypes.addressof(self._keys),
                    ctypes.addressof(self._values),
                    self._room,
                )
            except OSError as error:
                raise NetprobeError(f"The kernel did not let netprobe read its own map: {error.strerror}.") from error
            keys += memoryview(self._keys)[: count * self._key_size]
            values += memoryview(self._values)[: count * self._value_size]
            if last:
                return keys, values
            position, following = following, position
            start = ctypes.addressof(position)

    def arrays(self, keys: bytearray, values: bytearray) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """What `read_bytes` returned, as arrays."""
        value = np.dtype(self._value)
        flat = np.frombuffer(values, value.base).reshape(-1, *value.shape)
        return np.frombuffer(keys, np.dtype(self._key)), flat

    def read(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Copies of all keys and values. Not thread-safe: reads share their buffers."""
        return self.arrays(*self.read_bytes())

    def delete(self, key: bytes) -> None:
        """Remove an element, if it exists."""
        delete_element(self._fd, key)
