"""bpf(2) by itself: maps, programs and links, without libbcc or libbpf.

Source: include/uapi/linux/bpf.h. The kernel accepts a shorter structure than its own, with zeros for the rest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from netprobe.errors import NetprobeError

# Of bpf(2); another architecture is refused before any call.
_NUMBER = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)
# enum bpf_cmd
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _INFO_BY_FD = 0, 1, 2, 3, 5, 15
_RAW_TRACEPOINT_OPEN, _MAP_LOOKUP_BATCH, _LINK_CREATE, _ENABLE_STATS, _ITER_CREATE = 17, 24, 28, 32, 33
# enum bpf_prog_type
KPROBE, PERF_EVENT, RAW_TRACEPOINT, TRACING = 2, 7, 17, 26
# enum bpf_attach_type
TRACE_RAW_TP, TRACE_FENTRY, TRACE_FEXIT, TRACE_ITER = 23, 24, 25, 28
# enum bpf_map_type
_MAPS_OF_MAPS = (12, 13)
# struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags
_MAP_INFO = struct.Struct("=IIIIII")
# BPF_MAP_CREATE: map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name
_CREATE = struct.Struct("=IIIIIII16s")
# BPF_PROG_LOAD: prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
# prog_ifindex, expected_attach_type, [BTF of the program: none], attach_btf_id
_LOAD = struct.Struct("=IIQQIIQII16sII36xI")
# in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags
_BATCH = struct.Struct("=QQQQIIQQ")
_BATCH_COUNT_OFFSET = 32
_LOG_BYTES = 1 << 20
_NAME_LENGTH = 15
INSTRUCTION_BYTES = 8
# A signal during the verification ends it with EAGAIN.
_TRIES = 6

_libc = ctypes.CDLL(None, use_errno=True)


class MapDefinition(NamedTuple):
    """What the kernel is given to create a map."""

    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int


@dataclass(frozen=True)
class BpfMap:
    """A map of a loaded program: its descriptor, and its sizes."""

    name: str
    fd: int
    key_size: int
    value_size: int
    entries: int

    def check(self, part: str, expected: int) -> None:
        """Raise `NetprobeError` unless the map's "key" or "value" has the size of its NumPy type."""
        found = self.key_size if part == "key" else self.value_size
        if found != expected:
            raise NetprobeError(
                f"The {part} of the map {self.name} has {found} bytes in the C code and {expected} in the Python code.",
                hint="This is a bug of netprobe: the structure in bpf/ and its NumPy type differ. Please report it.",
            )


class RefusedProgramError(OSError):
    """The kernel refused to load a program. `log`: the message of the verifier."""

    def __init__(self, number: int, log: str) -> None:
        super().__init__(number, os.strerror(number))
        self.log = log


def _bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """Call bpf(2); raises `OSError`. The caller keeps alive what `attributes` points to."""
    for _ in range(_TRIES):
        result = int(_libc.syscall(_NUMBER, command, attributes, len(attributes)))
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number))


def _address(buffer: Any) -> int:
    return ctypes.addressof(buffer)


# ---- Maps ----


def create_map(name: str, definition: MapDefinition) -> int:
    """Create a map; return its descriptor. Raises `OSError`."""
    kind, key_size, value_size, entries, flags = definition
    attributes = _CREATE.pack(kind, key_size, value_size, entries, flags, 0, 0, name.encode()[:_NAME_LENGTH])
    try:
        return _bpf(_MAP_CREATE, attributes)
    except PermissionError:
        # Before 5.11 (commit 97306be45fbe), maps and programs count as locked memory.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return _bpf(_MAP_CREATE, attributes)


def definition_of(fd: int) -> MapDefinition:
    """The definition of an existing map, as the kernel has it; raises `OSError`."""
    info = ctypes.create_string_buffer(_MAP_INFO.size)
    _bpf(_INFO_BY_FD, struct.pack("=IIQ", fd, _MAP_INFO.size, _address(info)))
    kind, _, key_size, value_size, entries, flags = _MAP_INFO.unpack(info)
    if kind in _MAPS_OF_MAPS:
        raise OSError(errno.ENOTSUP, "it is a map of maps, which needs the definition of its inner map as well")
    return MapDefinition(kind, key_size, value_size, entries, flags)


def update_element(fd: int, key: bytes, value: bytes) -> None:
    """Set an element. Raises `OSError`."""
    key_buffer, value_buffer = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", fd, 0, _address(key_buffer), _address(value_buffer), 0))


def append_elements(fd: int, values: Iterable[int]) -> None:
    """Append 32-bit numbers to a queue, which has no batches. Raises `OSError`."""
    buffer = ctypes.c_uint32()
    attributes = struct.pack("=IIQQQ", fd, 0, 0, _address(buffer), 0)
    for value in values:
        buffer.value = value
        _bpf(_MAP_UPDATE, attributes)


def lookup_element(fd: int, key: bytes, size: int) -> bytes:
    """The value of a key; `size`: of the value in bytes, for all CPUs together in a per-CPU map. Raises `OSError`."""
    key_buffer, value = ctypes.create_string_buffer(key), ctypes.create_string_buffer(size)
    _bpf(_MAP_LOOKUP, struct.pack("=IIQQQ", fd, 0, _address(key_buffer), _address(value), 0))
    return value.raw


def delete_element(fd: int, key: bytes) -> None:
    """Remove a key, if it exists."""
    buffer = ctypes.create_string_buffer(key)
    with suppress(OSError):
        _bpf(_MAP_DELETE, struct.pack("=IIQQQ", fd, 0, _address(buffer), 0, 0))


def lookup_batch(fd: int, position: int, following: int, keys: int, values: int, count: int) -> tuple[int, bool]:
    """Read up to `count` elements of a hash map; return how many were read, and whether they were the last ones.

    The other arguments are addresses: of the position to start from (0: the beginning), of the position that follows,
    of the arrays for keys and values. Raises `OSError`. Source: kernel 5.6 (commit cb4d03ab499d).
    """
    fields = _BATCH.pack(position, following, keys, values, count, fd, 0, 0)
    attributes = ctypes.create_string_buffer(fields, len(fields))
    last = False
    try:
        _bpf(_MAP_LOOKUP_BATCH, attributes)
    except FileNotFoundError:
        last = True
    (found,) = struct.unpack_from("=I", attributes, _BATCH_COUNT_OFFSET)
    return found, last


# ---- Programs and links ----


def load_program(name: str, code: bytearray, kind: int, attach_type: int = 0, btf_id: int = 0) -> int:
    """Load a program; return its descriptor. Raises `RefusedProgramError` with the message of the verifier.

    `attach_type` and `btf_id`: what a program of the kind `TRACING` attaches to.
    """
    instructions, licence = (ctypes.c_char * len(code)).from_buffer(code), ctypes.create_string_buffer(b"GPL")
    number = 0
    # The verifier is slower with a log, and reports a log that is longer than the buffer instead of the first error.
    for log_size in (0, _LOG_BYTES):
        log = ctypes.create_string_buffer(log_size or 1)
        attributes = _LOAD.pack(
            kind,
            len(code) // INSTRUCTION_BYTES,
            _address(instructions),
            _address(licence),
            1 if log_size else 0,
            log_size,
            _address(log) if log_size else 0,
            0,
            0,
            name.encode()[:_NAME_LENGTH],
            0,
            attach_type,
            btf_id,
        )
        try:
            return _bpf(_PROG_LOAD, attributes)
        except OSError as error:
            number = number or error.errno or 0
    raise RefusedProgramError(number, log.value.decode(errors="replace").strip())


def attach_raw_tracepoint(program: int, tracepoint: str | None = None) -> int:
    """Attach to a raw tracepoint, or a typed program to what it was loaded for; return the link. Raises `OSError`."""
    name = ctypes.create_string_buffer((tracepoint or "").encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", _address(name) if tracepoint else 0, program))


def attach_iterator(program: int) -> int:
    """Attach an iterator program; return the link. Raises `OSError`."""
    return _bpf(_LINK_CREATE, struct.pack("=IIII", program, 0, TRACE_ITER, 0))


def read_iterator(link: int) -> bytes:
    """All that an attached iterator writes. Raises `OSError`."""
    reader = _bpf(_ITER_CREATE, struct.pack("=II", link, 0))
    try:
        data = bytearray()
        while chunk := os.read(reader, 1 << 16):
            data += chunk
        return bytes(data)
    finally:
        os.close(reader)


@contextmanager
def run_time_statistics() -> Iterator[bool]:
    """Enable the kernel's BPF run-time statistics inside the context; yields whether this kernel has them.

    The setting belongs to a file descriptor, so it ends with netprobe however netprobe ends.
    Source: BPF_ENABLE_STATS, kernel 5.8 (commit d46edd671a14).
    """
    fd = -1
    with suppress(OSError):
        fd = _bpf(_ENABLE_STATS, struct.pack("=I", 0))
    try:
        yield fd >= 0
    finally:
        if fd >= 0:
            os.close(fd)
