"""Keeps BCC from reading all kernel symbols at each compilation.

BCC looks in /proc/kallsyms whether the kernel has `bpf_probe_read_kernel`: five megabytes read and hashed, a
quarter of the time from command to attached. Every kernel with BTF iterators (5.8) has the helper, so the
compiling thread gets a mount namespace of its own in which the file has these two lines. The namespace goes with
the thread; the host and netprobe's other threads never see it.
"""

from __future__ import annotations

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_SYMBOLS = b"0000000000000001 T bpf_probe_read_kernel\n0000000000000002 T bpf_probe_read_user\n"


def mask_kallsyms() -> bool:
    """Mask it for the calling thread, for good; False where that is not allowed (it only costs time then)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        return False
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="netprobe-kallsyms-")
    except OSError:
        return False
    try:
        os.write(fd, _SYMBOLS)
        return int(libc.mount(os.fsencode(path), b"/proc/kallsyms", None, _MS_BIND, None)) == 0
    except OSError:
        return False
    finally:
        os.close(fd)
        os.unlink(path)
