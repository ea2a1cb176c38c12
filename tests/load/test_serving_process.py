"""The process that listens, and the CPUs that its busy threads may run on."""

import os
import socket
import subprocess
import sys

import pytest

from netprobe.load.serving_process import busy_cpus, cpu_times, is_local, listening_processes


def test_this_machine():
    assert is_local("127.0.0.1")
    assert is_local("localhost")
    assert not is_local("192.0.2.1")
    assert not is_local("name.invalid")


def test_listening_process_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listening_processes(server.getsockname()[1]) == [os.getpid()]
        port = server.getsockname()[1]
    assert listening_processes(port) == []


def test_workers_that_inherit_a_listener_count_as_their_parent():
    program = (
        "import os, socket\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "first = os.fork()\n"
        "if first: print(s.getsockname()[1], flush=True)\n"
        "os.read(0, 1)\n"
        "if first: os.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert listening_processes(port) == [parent.pid]
        assert len(cpu_times(parent.pid)) == 2
        parent.stdin.write(b"xx")
        parent.stdin.close()


def test_process_that_has_ended_has_no_cpu_times():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert cpu_times(gone.pid) == {}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_only_busy_threads_determine_the_cpus():
    """This process used all the CPU time, and its child none."""
    before = os.sched_getaffinity(0)
    with subprocess.Popen(["sleep", "60"]) as idle:
        try:
            os.sched_setaffinity(0, {0})
            assert busy_cpus({}, {os.getpid(): 100, idle.pid: 1}) == {0}
            assert busy_cpus({os.getpid(): 100}, {os.getpid(): 100, idle.pid: 1}) == before
            assert busy_cpus({}, {}) == set()
        finally:
            os.sched_setaffinity(0, before)
            idle.kill()
