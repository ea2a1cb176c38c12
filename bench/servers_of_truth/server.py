"""A small HTTP server in three architectures with one fault: server.py loop|threads|prefork FAULT BACKEND_PORT."""

import os
import selectors
import socket
import sys
import threading
import time

ARCHITECTURE, FAULT, BACKEND = sys.argv[1], sys.argv[2], int(sys.argv[3])
LARGE = bytes(256 * 1024)
lock = threading.Lock()
local = threading.local()


def call_backend() -> None:
    """A request to the backend, on a connection that the thread keeps unless FAULT is `reconnect`."""
    if not hasattr(local, "backend"):
        local.backend = socket.create_connection(("127.0.0.1", BACKEND))
    local.backend.send(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
    local.backend.recv(4096)
    if FAULT == "reconnect":
        local.backend.close()
        del local.backend


def work() -> None:
    """The fault."""
    if FAULT == "fsync":
        with open("log", "ab") as log:
            log.write(b"x" * 512)
            log.flush()
            os.fdatasync(log.fileno())
    elif FAULT == "lock":
        with lock:
            time.sleep(0.001)
    elif FAULT in ("backend", "reconnect"):
        call_backend()
    elif FAULT == "sleep":
        time.sleep(0.005)
    elif FAULT == "failing":
        for _ in range(20):
            os.path.exists("/nonexistent/configuration")


def serve(connection: socket.socket) -> bool:
    """One request; whether the connection is still open."""
    try:
        if not connection.recv(4096):
            return False
        work()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        if FAULT == "nagle":
            connection.sendall(head)
            connection.sendall(b"hello")
        else:
            connection.sendall(head + b"hello")
    except OSError:
        return False
    return True


def accepted() -> socket.socket:
    """A new connection."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, FAULT != "nagle")
    return connection


def loop() -> None:
    """One thread for all connections."""
    selector = selectors.EpollSelector()
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                try:
                    connection = accepted()
                except BlockingIOError:
                    continue
                connection.setblocking(True)
                selector.register(connection, selectors.EVENT_READ)
            elif not serve(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()


def keep_serving(connection: socket.socket) -> None:
    """All requests of a connection."""
    with connection:
        while serve(connection):
            pass


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
if ARCHITECTURE == "threads":
    while True:
        threading.Thread(target=keep_serving, args=(accepted(),), daemon=True).start()
if ARCHITECTURE == "prefork":
    for _ in range(3):
        if not os.fork():
            break
loop()
