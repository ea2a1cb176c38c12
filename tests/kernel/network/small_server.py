"""A small HTTP server: `small_server.py WAY ADDRESS PORT [OPTION]…`; it answers like the lab's.

WAY: `blocking` (a thread a connection, blocking recv), `poll`, `select` (one thread), `accept` (two threads that
interval in accept() on listeners of their own, in one SO_REUSEPORT group), `closing` (answers with the time, then
closes at once). `busy-poll` sets SO_BUSY_POLL=50 on the listener, whose connections inherit it; `cbpf` steers
a group by CPU; `name=HEX` names its threads.
"""

import ctypes
import os
import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SO_BUSY_POLL, SO_ATTACH_REUSEPORT_CBPF, PR_SET_NAME = 46, 51, 15
KEPT: list[object] = []


def listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if WAY == "accept":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Of the group's first one alone: with a group of its own, the second could not join.
        if "cbpf" in sys.argv and not KEPT:
            listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, returns_cpu())
    if "busy-poll" in sys.argv:
        listening.setsockopt(socket.SOL_SOCKET, SO_BUSY_POLL, 50)
    listening.bind((address, port))
    listening.listen(1024)
    return listening


def returns_cpu() -> bytes:
    """A struct sock_fprog of `A = SKF_AD_CPU; return A`."""
    program = struct.pack("=HBBIHBBI", 0x20, 0, 0, 0xFFFFF024, 0x16, 0, 0, 0)
    KEPT.append(ctypes.create_string_buffer(program))
    return struct.pack("HP", 2, ctypes.addressof(KEPT[-1]))


def named(name: bytes) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)


def serve_blocking(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(ConnectionError), connection:  # wrk goes in the middle of a request
        while connection.recv(4096):
            connection.sendall(REPLY)


def accept_blocking(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=serve_blocking, args=(connection,), daemon=True).start()


def accept_and_serve(listening: socket.socket) -> None:
    for word in sys.argv:
        if word.startswith("name="):
            named(bytes.fromhex(word.removeprefix("name=")))
    while True:
        serve_blocking(listening.accept()[0])


def ready_by_poll(sockets: dict[int, socket.socket]) -> list[int]:
    waiting = select.poll()
    for number in sockets:
        waiting.register(number, select.POLLIN)
    return [number for number, _ in waiting.poll()]


def ready_by_select(sockets: dict[int, socket.socket]) -> list[int]:
    return select.select(list(sockets), [], [])[0]


def answered(connection: socket.socket) -> bool:
    with suppress(ConnectionError):
        if connection.recv(4096):
            connection.sendall(REPLY)
            return True
    return False


def serve_ready(listening: socket.socket) -> None:
    wait = ready_by_poll if WAY == "poll" else ready_by_select
    sockets = {listening.fileno(): listening}
    while True:
        for number in wait(sockets):
            if number == listening.fileno():
                connection = listening.accept()[0]
                sockets[connection.fileno()] = connection
            elif not answered(sockets[number]):
                sockets.pop(number).close()


def serve_closing(listening: socket.socket) -> None:
    """Closes each connection after its first byte; an epoll set holds them, as in any other server."""
    waiting = select.epoll()
    waiting.register(listening, select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    while True:
        for number, _ in waiting.poll():
            if number == listening.fileno():
                connection = listening.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[connection.fileno()] = connection
                waiting.register(connection, select.EPOLLIN)
                continue
            connection = sockets.pop(number)
            if connection.recv(16):
                connection.send(b"%d" % time.monotonic_ns())
            connection.close()


WAY, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
if WAY == "blocking":
    accept_blocking(listener(ADDRESS, PORT))
elif WAY == "accept":
    for _ in range(2):
        threading.Thread(target=accept_and_serve, args=(listener(ADDRESS, PORT),)).start()
elif WAY == "closing":
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    serve_closing(listener(ADDRESS, PORT))
else:
    serve_ready(listener(ADDRESS, PORT))
