"""netprobe's decoder of classic programs, compared with the kernel: the socket that a datagram reaches."""

import ctypes
import os
import select
import socket
import struct

import pytest

from netprobe.analysis.classic_bpf import index_by_cpu

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
SO_ATTACH_REUSEPORT_CBPF = 51
SIZE = 8
CPU, RET = (0x20, 0, 0, 0xFFFFF024), (0x16, 0, 0, 0)
PROGRAMS = {
    "identity": [CPU, RET],
    "identity by byte": [(0x30, 0, 0, 0xFFFFF024), RET],
    "constant": [(0x06, 0, 0, 3)],
    "modulo": [CPU, (0x04, 0, 0, 6), (0x94, 0, 0, 5), RET],
    "modulo X": [(0x01, 0, 0, 3), CPU, (0x04, 0, 0, 7), (0x9C, 0, 0, 0), RET],
    "mask": [CPU, (0x04, 0, 0, 13), (0x54, 0, 0, 7), RET],
    "xor": [CPU, (0xA4, 0, 0, 5), RET],
    "or": [CPU, (0x44, 0, 0, 2), RET],
    "subtract": [(0x01, 0, 0, 1), CPU, (0x87, 0, 0, 0), (0x00, 0, 0, 4), (0x1C, 0, 0, 0), RET],
    "subtract below zero": [CPU, (0x14, 0, 0, 1), (0x74, 0, 0, 31), RET],
    "negate": [CPU, (0x84, 0, 0, 0), (0x54, 0, 0, 7), RET],
    "multiply": [CPU, (0x24, 0, 0, 5), RET],
    "divide": [CPU, (0x04, 0, 0, 9), (0x34, 0, 0, 5), RET],
    "divide by X, which is 0 on CPU 0": [CPU, (0x07, 0, 0, 0), (0x00, 0, 0, 6), (0x3C, 0, 0, 0), RET],
    "shift left": [CPU, (0x64, 0, 0, 2), RET],
    "shift right": [CPU, (0x04, 0, 0, 7), (0x74, 0, 0, 1), RET],
    "shift by X": [CPU, (0x07, 0, 0, 0), (0x00, 0, 0, 3), (0x6C, 0, 0, 0), RET],
    "shift by X beyond 32": [(0x01, 0, 0, 33), CPU, (0x6C, 0, 0, 0), RET],
    "memory": [CPU, (0x02, 0, 0, 15), (0x00, 0, 0, 5), (0x61, 0, 0, 15), (0x0C, 0, 0, 0), RET],
    "memory by X": [CPU, (0x07, 0, 0, 0), (0x03, 0, 0, 2), (0x00, 0, 0, 7), (0x60, 0, 0, 2), RET],
    "jump if equal": [CPU, (0x15, 0, 1, 0), (0x06, 0, 0, 6), (0x06, 0, 0, 2)],
    "jump if greater": [CPU, (0x25, 1, 0, 0), (0x06, 0, 0, 6), (0x06, 0, 0, 2)],
    "jump if not less": [CPU, (0x35, 1, 0, 1), (0x06, 0, 0, 4), (0x06, 0, 0, 1)],
    "jump if set": [CPU, (0x45, 0, 1, 1), (0x06, 0, 0, 5), (0x06, 0, 0, 7)],
    "jump by X": [(0x01, 0, 0, 1), CPU, (0x1D, 0, 1, 0), (0x06, 0, 0, 5), (0x06, 0, 0, 7)],
    "jump": [CPU, (0x05, 0, 0, 1), (0x06, 0, 0, 7), (0x04, 0, 0, 1), RET],
}  # fmt: skip


@pytest.fixture
def group():
    sockets = []
    for _ in range(SIZE):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", sockets[0].getsockname()[1] if sockets else 0))
        sockets.append(one)
    before = os.sched_getaffinity(0)
    yield sockets
    os.sched_setaffinity(0, before)
    for one in sockets:
        one.close()


def attach(one: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("HP", len(program), ctypes.addressof(text)))


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_kernel_agrees(group, program):
    attach(group[0], program)
    said = index_by_cpu(program, [0, 1])
    reached = {}
    for cpu in (0, 1):
        os.sched_setaffinity(0, {cpu})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", group[0].getsockname())
        (ready,), _, _ = select.select(group, [], [], 2)
        ready.recv(1)
        reached[cpu] = group.index(ready)
    assert said is not None
    assert max(said.values()) < SIZE, "the program is not for this test"
    assert said == reached
