"""Missing prerequisites are clear errors; the documented capabilities suffice."""

import ctypes
import errno
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

import netprobe
from netprobe.lab.nginx import free_port
from netprobe.lab.server import ServerOptions, build

# include/uapi/linux/capability.h
CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF = 2, 19, 38, 39
WITHOUT_ROOT = "without root"
NOBODY = 65534
CLONE_NEWNS, PR_SET_KEEPCAPS, CAPABILITY_VERSION_3 = 0x20000, 8, 0x20080522
SYS_CAPSET, SYS_PERF_EVENT_OPEN = 126, 298


def hide_btf():
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0
    assert libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) == 0
    assert libc.mount(b"none", b"/sys/kernel/btf", b"tmpfs", 0, None) == 0


def test_no_btf(recording, holds):
    said = recording("syscalls", "-d", "1", attached=False, prepare=hide_btf).finish().refused()
    assert "no BTF type information" in said
    assert "CONFIG_DEBUG_INFO_BTF" in said
    holds("no BTF", "-", "refused, naming CONFIG_DEBUG_INFO_BTF")


def become(*capabilities):
    """Another user with these capabilities alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    wanted = sum(1 << number for number in capabilities)
    low, high = wanted & 0xFFFFFFFF, wanted >> 32
    head = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    assert libc.syscall(SYS_CAPSET, head, struct.pack("6I", low, low, 0, high, high, 0)) == 0
    # Files in /proc/self belong to root until the process may be looked at again.
    assert libc.prctl(4, 1, 0, 0, 0) == 0
    os.environ["HOME"] = "/tmp"


def test_one_capability_too_few(recording):
    session = recording("syscalls", "-d", "1", attached=False, prepare=lambda: become(CAP_BPF, CAP_PERFMON))
    assert f"user {NOBODY} without CAP_SYS_PTRACE" in session.finish().refused()


def granted():
    become(CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)


def granted_for_others():
    become(CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)


REVERSED = {"threads": 2, "cpus": (0, 1), "steer": "cbpf", "listen_order": "reversed"}


@pytest.fixture
def own_server():
    """The lab server, run by the user that netprobe becomes."""
    options = ServerOptions(**REVERSED, port=free_port())
    command = [build(), *options.argv()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready ")
        yield process.pid, options.port
        process.terminate()


def test_capabilities_suffice_for_a_server_of_the_same_user(recording, ask, own_server, holds):
    pid, port = own_server
    session = recording("locality", "-p", pid, "-d", 3600, "--json", prepare=granted)
    ask(0, "127.0.0.1", port, 41)
    document = session.stop().json()
    assert document["unavailable"] == []
    (group,) = document["groups"]
    assert [one["served_by"][0]["thread"] for one in group["members"]] == ["reactor-1", "reactor-0"]
    assert [(row["rx_cpu"], row["cpu"], row["messages"]) for row in document["messages"]] == [(0, 1, 41)]
    holds(WITHOUT_ROOT, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", "one's own server: groups, threads, 41 messages")


def test_a_server_of_another_user_needs_one_more_capability(recording, serve, holds):
    server = serve(**REVERSED)
    session = recording("locality", "-p", server.pid, "--groups-only", "--json", attached=False, prepare=granted)
    document = session.finish().json()
    assert document["groups"] == []
    (said,) = document["unavailable"]
    assert "CAP_DAC_READ_SEARCH" in said
    holds(WITHOUT_ROOT, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", "another user's server: says that one more is needed")


@pytest.fixture
def paranoid():
    """Sets kernel.perf_event_paranoid."""
    setting = Path("/proc/sys/kernel/perf_event_paranoid")
    before = setting.read_text()
    yield lambda level: setting.write_text(str(level))
    setting.write_text(before)


@pytest.fixture
def recorded_without_root(recording, ask, serve, tmp_path):
    """The Run of a server of another user that answered 211 requests."""

    def run():
        tmp_path.chmod(0o777)
        for parent in list(tmp_path.parents)[:2]:
            parent.chmod(0o755)
        server = serve(cpus=(1,))
        command = ["record", "-p", server.pid, "-d", 3600, "-F", "499", "-o", tmp_path / "run"]
        session = recording(*command, prepare=granted_for_others)
        ask(0, server.address, server.port, 211)
        done = session.stop()
        assert done.status == 0, done.err
        found = netprobe.load(tmp_path / "run")
        assert int(found.table("messages")["accepted"].sum()) == 211
        calls = found.table("syscalls")
        assert int(calls[calls["syscall"] == "recvfrom"]["calls"].sum()) >= 211
        return found

    return run


def test_capabilities_suffice_for_everything(recorded_without_root, paranoid, holds):
    """`record` has every probe."""
    paranoid(2)
    run = recorded_without_root()
    assert run.info.unavailable == []
    assert int(run.table("profile_samples")["samples"].sum()) > 0
    holds(WITHOUT_ROOT, "these and CAP_DAC_READ_SEARCH", "another user's server: every probe of `record`")


def test_record_skips_stacks_where_the_kernel_restricts_perf_events(recorded_without_root, paranoid, holds):
    """The additional level of Debian: only CAP_SYS_ADMIN is sufficient."""
    paranoid(3)
    run = recorded_without_root()
    assert "profile_samples" not in run.tables
    (said,) = run.info.unavailable
    assert "kernel.perf_event_paranoid is 3" in said
    holds(WITHOUT_ROOT, "kernel.perf_event_paranoid=3", "all but the stacks, and says which setting keeps them")


def cycles_refused():
    """Why CPU cycles cannot be counted here; None where they can."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=IIQQQQQI76x", 0, 128, 0, 0, 0, 0, 1, 0)
    fd = libc.syscall(SYS_PERF_EVENT_OPEN, attributes, 0, -1, -1, 8)
    if fd >= 0:
        os.close(fd)
        return None
    return ctypes.get_errno()


@pytest.fixture
def spinning():
    """A process that never sleeps."""
    pid = os.fork()
    while not pid:
        pass
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("mechanism", ["cycles", "cpu-clock"])
def test_samples_by_each_event(recording, spinning, tmp_path, mechanism, holds):
    reason = cycles_refused() if mechanism == "cycles" else None
    command = ["flame", "-p", spinning, "-d", "1", "-o", tmp_path / "run"]
    if reason is None:
        done = recording(*command, mechanism=mechanism).finish()
        assert done.status == 0, done.err
        assert netprobe.load(tmp_path / "run").info.attach_mechanisms["samples"] == mechanism
        holds("samples of stacks", mechanism, "a process that never sleeps is sampled")
        return
    assert reason in (errno.ENOENT, errno.EOPNOTSUPP)
    said = recording(*command, attached=False, mechanism=mechanism).finish().refused()
    assert "No attach mechanism works for the samples" in said
    holds("samples of stacks", "-", f"cycles: {os.strerror(reason)}: an emulated processor does not count them")
