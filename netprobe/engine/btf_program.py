"""Loads programs whose arguments are typed by BTF: they read kernel structures directly, without a helper call.

BCC 0.26 has no way to load them for tracepoints, so this is bpf(2) itself. Source: BPF_TRACE_RAW_TP, kernel 5.5
(commit f1b9509c2fb0); the layout of union bpf_attr in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

from netprobe.engine.btf import load_libbpf
from netprobe.errors import NotPossibleHereError
from netprobe.probes.syscall_names import native_number

_PROG_LOAD = 5
_TRACING = 26
# enum bpf_attach_type
TRACE_RAW_TP, TRACE_FENTRY, TRACE_FEXIT = 23, 24, 25
# prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
# prog_ifindex, expected_attach_type, [BTF of the program's own: none], attach_btf_id
_ATTR = struct.Struct("=IIQQIIQII16sII36xI")
_LOG_BYTES = 1 << 20
_INSTRUCTION_BYTES = 8


def load_typed(name: str, instructions: int, size: int, btf_id: int, attach_type: int) -> int:
    """Load a program for the tracepoint's typedef or the function with this BTF id; returns its descriptor.

    `instructions` is an address, `size` in bytes. Raises `NotPossibleHereError` with the verifier's words.
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
    words = log.value.decode(errors="replace").strip()
    raise NotPossibleHereError(f"The kernel refused netprobe's program {name}: {reason}.\n{words}".strip())


def attach_typed(program: int) -> int:
    """Attach it; returns the link's descriptor, negative if the kernel refuses."""
    return int(load_libbpf().bpf_raw_tracepoint_open(None, program))
