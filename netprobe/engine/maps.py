"""Reads BPF maps: arrays through a memory map, hashes in batches. Never one system call an element."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from netprobe.engine.btf import load_libbpf
from netprobe.errors import NetprobeError

_BATCH_BYTES = 1 << 17


class MappedArray:
    """A BPF array map made with MMAPABLE, as a NumPy view of its live memory.

    `dtype` is the element's; the kernel rounds each element up to 8 bytes.
    """

    def __init__(self, fd: int, entries: int, dtype: npt.DTypeLike) -> None:
        element = np.dtype(dtype)
        stride = (element.itemsize + 7) // 8 * 8
        size = (entries * stride + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.view: npt.NDArray[Any] = np.ndarray(entries, element, self._memory, strides=(stride,))

    def close(self) -> None:
        """Unmap; the view must not be used any more."""
        del self.view
        self._memory.close()


class HashReader:
    """All of a BPF hash map in a few system calls.

    Source: BPF_MAP_LOOKUP_BATCH, kernel 5.6 (commit cb4d03ab499d).
    """

    def __init__(self, fd: int, entries: int, key: npt.DTypeLike, value: npt.DTypeLike) -> None:
        self._lib, self._fd = load_libbpf(), fd
        self.key, self.value = np.dtype(key), np.dtype(value)
        # A hash bucket that does not fit into one call's room makes the kernel refuse: never less than 64.
        self._room = max(64, min(entries, _BATCH_BYTES // self.value.itemsize))
        # For all reads: a recording makes several each second, and the C library would let holes grow between them.
        self._keys, self._values = np.empty(self._room, self.key), np.empty(self._room, self.value)

    def read(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """(keys, values), copied; one call at a time, as all share the room."""
        keys, values = [], []
        position, following = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
        start = None
        while True:
            count = ctypes.c_uint32(self._room)
            ctypes.set_errno(0)
            result = self._lib.bpf_map_lookup_batch(
                self._fd,
                start,
                following,
                _address(self._keys),
                _address(self._values),
                ctypes.byref(count),
                None,
            )
            error = ctypes.get_errno() if result else 0
            if error not in (0, errno.ENOENT):
                raise NetprobeError(f"The kernel did not let netprobe read its own map: {os.strerror(error)}.")
            keys.append(self._keys[: count.value].copy())
            values.append(self._values[: count.value].copy())
            if error == errno.ENOENT:
                return np.concatenate(keys), np.concatenate(values)
            position, following = following, position
            start = position

    def delete(self, key: bytes) -> None:
        """Remove one element, if it is there."""
        self._lib.bpf_map_delete_elem(self._fd, key)


def _address(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
