"""Calls that BCC does not offer, through libbpf (a dependency of BCC) or bpf(2) itself."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from netprobe.errors import NetprobeError, NotPossibleHereError
from netprobe.probes.syscall_names import native_number

_PROG_LOAD = 5
_TRACING = 26
# enum bpf_attach_type
TRACE_RAW_TP, TRACE_FENTRY, TRACE_FEXIT, TRACE_ITER = 23, 24, 25, 28
# union bpf_attr in include/uapi/linux/bpf.h: prog_type, insn_cnt, insns, license, log_level, log_size, log_buf,
# kern_version, prog_flags, prog_name, prog_ifindex, expected_attach_type, [BTF of the program: none], attach_btf_id
_ATTR = struct.Struct("=IIQQIIQII16sII36xI")
# struct bpf_map_info: type, id, key_size, value_size, max_entries
_MAP_INFO = struct.Struct("=IIIII")
_LOG_BYTES = 1 << 20
_INSTRUCTION_BYTES = 8


@cache
def load_libbpf() -> ctypes.CDLL:
    """The libbpf that BCC itself uses."""
    for name in ("libbpf.so.1", "libbpf.so.0"):
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
    raise NotPossibleHereError(
        "libbpf, which BCC depends on, cannot be loaded.", hint="Install it: libbpf1 (Debian) or libbpf."
    )


@dataclass(frozen=True)
class BpfMap:
    """A map of a loaded program: its descriptor, and its sizes as the kernel has them."""

    name: str
    fd: int
    key_size: int
    value_size: int
    entries: int

    @classmethod
    def of(cls, name: str, fd: int) -> BpfMap:
        """The map with this descriptor (BPF_OBJ_GET_INFO_BY_FD)."""
        info, size = ctypes.create_string_buffer(_MAP_INFO.size), ctypes.c_uint32(_MAP_INFO.size)
        if load_libbpf().bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)):
            raise NetprobeError(f"The kernel does not describe the map {name}: {os.strerror(ctypes.get_errno())}.")
        _, _, key_size, value_size, entries = _MAP_INFO.unpack(info)
        return cls(name, fd, key_size, value_size, entries)

    def check(self, part: str, expected: int) -> None:
        """Raise `NetprobeError` unless the map's "key" or "value" has the size of its NumPy type."""
        found = self.key_size if part == "key" else self.value_size
        if found != expected:
            raise NetprobeError(
                f"The {part} of the map {self.name} has {found} bytes in the C code and {expected} in the Python code.",
                hint="This is a bug of netprobe: the structure in bpf/ and its NumPy type differ. Please report it.",
            )


def load_typed(name: str, instructions: int, size: int, btf_id: int, attach_type: int) -> int:
    """Load a program for the tracepoint or the function with this BTF id; return its descriptor.

    The arguments of such a program are typed by BTF: it reads kernel structures directly, without a helper call. BCC
    0.26 cannot load one for tracepoints. Source: BPF_TRACE_RAW_TP, kernel 5.5 (commit f1b9509c2fb0).

    `instructions` is an address, `size` in bytes. Raises `NotPossibleHereError` with the message of the verifier.
    """
    licence = ctypes.create_string_buffer(b"GPL")
    for log_size in (0, _LOG_BYTES):
        log = ctypes.create_string_buffer(log_size or 1)
        attr = _ATTR.pack(
            _TRACING,
            size // _INSTRUCTION_BYTES,
            instructions,
            ctypes.addressof(licence),
            1 if log_size else 0,
            log_size,
            ctypes.addressof(log) if log_size else 0,
            0,
            0,
            name.encode()[:15],
            0,
            attach_type,
            btf_id,
        )
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.syscall(native_number("bpf"), _PROG_LOAD, attr, len(attr)))
        if fd >= 0:
            return fd
    reason = os.strerror(ctypes.get_errno())
    message = log.value.decode(errors="replace").strip()
    raise NotPossibleHereError(f"The kernel refused netprobe's program {name}: {reason}.\n{message}".strip())


def attach_typed(program: int) -> int:
    """Attach a program that `load_typed` loaded; return the link's descriptor, negative if the kernel refuses."""
    return int(load_libbpf().bpf_raw_tracepoint_open(None, program))


@contextmanager
def run_time_statistics() -> Iterator[bool]:
    """Enable the kernel's BPF run-time statistics inside the context; yields whether this kernel has them.

    The setting belongs to a file descriptor, so it ends with netprobe however netprobe ends.
    Source: BPF_ENABLE_STATS, kernel 5.8 (commit d46edd671a14).
    """
    fd = load_libbpf().bpf_enable_stats(0)
    try:
        yield fd >= 0
    finally:
        if fd >= 0:
            os.close(fd)
