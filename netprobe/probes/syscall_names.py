"""Numbers and names of system calls, native and of the 32-bit entries of the same kernel."""

from __future__ import annotations

import os
from functools import cache

import system_calls

from netprobe.errors import NetprobeError

# Machine -> names in the library of its native system calls and of the 32-bit ones.
_TABLES = {"x86_64": ("x86_64", "i386"), "aarch64": ("arm64", "arm")}
# x32 programs set this bit (arch/x86/include/uapi/asm/unistd.h).
_X32 = 0x40000000


@cache
def _table() -> system_calls.syscalls:
    return system_calls.syscalls()


def _architectures() -> tuple[str, str]:
    return _TABLES.get(os.uname().machine, _TABLES["x86_64"])


@cache
def _all_names() -> frozenset[str]:
    return frozenset(_table().names())


def is_known(name: str) -> bool:
    """Whether any architecture has a system call of this name."""
    return name in _all_names()


def native_number(name: str) -> int:
    """Number of a native system call, -1 if it is not native; raises `NetprobeError` for an unknown name."""
    try:
        return int(_table().get(name, _architectures()[0]))
    except system_calls.NotSupportedSystemCall:
        return -1
    except system_calls.NoSuchSystemCall:
        raise NetprobeError(
            f"There is no system call named {name!r}.",
            hint="Names are those of syscalls(2), such as recvfrom, epoll_wait, newfstatat.",
        ) from None


def check_native(name: str) -> None:
    """Raise `NetprobeError` for a name that is no system call of this architecture."""
    if native_number(name) < 0:
        raise NetprobeError(
            f"{name} is not a system call of {os.uname().machine}.",
            hint="Programs use another one there: wait4 for waitpid, recvfrom for recv.",
        )


def native_name(number: int) -> str:
    """Name of a native system call; its number if it is newer than the library."""
    return _name(number, _architectures()[0])


def name_on(machine: str, number: int) -> str:
    """Name of a system call on an architecture as `uname -m` prints it (x86_64, aarch64)."""
    return _name(number, _TABLES.get(machine, (machine,))[0])


def other_name(number: int, compat: bool) -> str:
    """Name of a system call that did not come through the native entry."""
    if compat:
        return f"{_name(number, _architectures()[1])} (32-bit)"
    if number >> 31:
        return f"(invalid number {number - (1 << 32)})"
    # The library has the numbers of x32 with the bit.
    return f"{_name(number, 'x32')} (x32)" if number & _X32 else f"(invalid number {number})"


@cache
def _name(number: int, architecture: str) -> str:
    try:
        return str(_table().get_name(number, architecture))
    except (system_calls.NoSuchSystemCall, system_calls.NotSupportedSystemCall, KeyError):
        return f"syscall_{number}"
