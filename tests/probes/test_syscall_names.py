"""Names and numbers of x86-64, as in arch/x86/entry/syscalls/ of the kernel."""

import re
import subprocess

import pytest

from netprobe.errors import NetprobeError
from netprobe.probes.syscall_names import native_name, native_number, other_name

NATIVE = {
    0: "read", 1: "write", 20: "writev", 45: "recvfrom", 110: "getppid", 232: "epoll_wait", 281: "epoll_pwait",
    335: "uretprobe", 426: "io_uring_enter", 441: "epoll_pwait2", 451: "cachestat", 462: "mseal", 463: "setxattrat",
    467: "open_tree_attr", 468: "file_getattr", 469: "file_setattr",
}  # fmt: skip


@pytest.mark.parametrize(("number", "name"), NATIVE.items())
def test_native_system_calls(number, name):
    assert native_name(number) == name
    assert native_number(name) == number


def test_all_system_calls_in_the_headers_of_libc():
    """The list of the compiler; the few names that differ are aliases."""
    text = subprocess.run(
        ["cc", "-E", "-dM", "-x", "c", "-include", "asm/unistd_64.h", "/dev/null"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    known = {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}
    assert len(known) > 300
    # Calls that the kernel has no more go by their numbers.
    gone = {134, 156, 174, 177, 178, *range(180, 186), 236}
    assert {number: native_name(number) for number in known if number not in gone} == {
        number: name for number, name in known.items() if number not in gone
    }


def test_a_number_newer_than_the_table():
    assert native_name(511) == "syscall_511"


def test_an_unknown_name():
    with pytest.raises(NetprobeError, match="no system call named 'nosuchcall'"):
        native_number("nosuchcall")


def test_a_name_of_another_architecture():
    assert native_number("waitpid") == -1


@pytest.mark.parametrize(
    ("number", "compat", "name"),
    [
        (64, True, "getppid (32-bit)"),
        (1, True, "exit (32-bit)"),
        (511, True, "syscall_511 (32-bit)"),
        (1 << 30 | 39, False, "getpid (x32)"),
        (1 << 30 | 520, False, "execve (x32)"),
        (600, False, "(invalid number 600)"),
        (0xFFFFFFFF, False, "(invalid number -1)"),
        (0xFFFFFFFE, False, "(invalid number -2)"),
    ],
)
def test_numbers_of_other_entries(number, compat, name):
    assert other_name(number, compat) == name
