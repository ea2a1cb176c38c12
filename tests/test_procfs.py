"""Parsers of /proc, compared with sockets and descriptors of this process."""

import os
import socket

from netprobe.procfs import descriptor_links, listening_sockets, socket_inode, stat_fields


def test_listener_is_found_by_port_and_inode():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, inode = server.getsockname()[1], os.fstat(server.fileno()).st_ino
        assert [found.inode for found in listening_sockets() if found.port == port] == [inode]
        assert {number: socket_inode(link) for number, link in descriptor_links(os.getpid())}[server.fileno()] == inode
    assert not [found for found in listening_sockets() if found.port == port]


def test_ipv6_listener_is_found():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert [found for found in listening_sockets(os.getpid()) if found.port == port]


def test_descriptor_that_is_not_a_socket_has_no_inode():
    reading, writing = os.pipe()
    try:
        links = dict(descriptor_links(os.getpid()))
        assert links[reading].startswith("pipe:")
        assert socket_inode(links[reading]) is None
    finally:
        os.close(reading)
        os.close(writing)


def test_process_that_is_gone_has_nothing():
    assert list(listening_sockets(2**22 + 1)) == []
    assert list(descriptor_links(2**22 + 1)) == []
    assert stat_fields(f"/proc/{2**22 + 1}/stat") == []


def test_stat_begins_with_the_state():
    fields = stat_fields("/proc/self/stat")
    assert fields[0] in "RSD"
    assert int(fields[1]) == os.getppid()
