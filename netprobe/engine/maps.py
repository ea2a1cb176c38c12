"""BPF maps: arrays through a memory map, hashes in batches, never with one system call per element.

A map whose key or value has another size than its NumPy type is refused: the C structure and the type are declared in
two languages, and must not differ.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from netprobe.engine.bpf import BpfMap, delete_element, lookup_batch
from netprobe.errors import NetprobeError

_BATCH_BYTES = 1 << 17


class MappedArray:
    """A BPF array map made with MMAPABLE, as a NumPy view of its live memory.

    `dtype` is that of an element; the kernel rounds each element up to 8 bytes.
    """

    def __init__(self, bpf_map: BpfMap, dtype: npt.DTypeLike) -> None:
        element = np.dtype(dtype)
        bpf_map.check("value", element.itemsize)
        stride = (element.itemsize + 7) // 8 * 8
        size = (bpf_map.entries * stride + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._memory = mmap.mmap(bpf_map.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.view: npt.NDArray[Any] = np.ndarray(bpf_map.entries, element, self._memory, strides=(stride,))

    def close(self) -> None:
        """Unmap; the view must not be used any more."""
        del self.view
        self._memory.close()


class HashReader:
    """Reads a whole BPF hash map in a few system calls.

    Source: BPF_MAP_LOOKUP_BATCH, kernel 5.6 (commit cb4d03ab499d).
    """

    def __init__(self, bpf_map: BpfMap, key: npt.DTypeLike, value: npt.DTypeLike) -> None:
        self._fd = bpf_map.fd
        self.key, self.value = np.dtype(key), np.dtype(value)
        bpf_map.check("key", self.key.itemsize)
        bpf_map.check("value", self.value.itemsize)
        # The kernel refuses a call whose room is smaller than a hash bucket: never less than 64 elements.
        self._room = max(64, min(bpf_map.entries, _BATCH_BYTES // self.value.itemsize))
        # Shared by all reads: a recording reads several times per second, and new buffers would fragment the heap.
        self._keys, self._values = np.empty(self._room, self.key), np.empty(self._room, self.value)

    def read(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Copies of all keys and values. Not thread-safe: reads share their buffers."""
        keys: list[npt.NDArray[Any]] = []
        values: list[npt.NDArray[Any]] = []
        # The position is a hash bucket; a key of 4 bytes has the same room.
        size = max(8, self.key.itemsize)
        position, following = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
        start = 0
        while True:
            try:
                count, last = lookup_batch(
                    self._fd,
                    start,
                    ctypes.addressof(following),
                    self._keys.ctypes.data,
                    self._values.ctypes.data,
                    self._room,
                )
            except OSError as error:
                raise NetprobeError(f"The kernel did not let netprobe read its own map: {error.strerror}.") from error
            keys.append(self._keys[:count].copy())
            values.append(self._values[:count].copy())
            if last:
                return np.concatenate(keys), np.concatenate(values)
            position, following = following, position
            start = ctypes.addressof(position)

    def delete(self, key: bytes) -> None:
        """Remove an element, if it exists."""
        delete_element(self._fd, key)
