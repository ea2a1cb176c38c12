"""Recordings that something else than the duration stops, and recordings that are refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# All that root has but what tracing needs.
WITHOUT_TRACING = ("setpriv", "--bounding-set", "-sys_admin,-bpf", "--inh-caps", "-sys_admin,-bpf")


@pytest.mark.parametrize("command", ["syscalls", "switches"])
def test_no_such_process(netprobe, command):
    said = netprobe(command, "-p", "4194300").refused()
    assert "There is no process 4194300" in said
    assert "pgrep" in said


def test_a_process_that_has_just_ended(netprobe):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert f"There is no process {gone.pid}" in netprobe("syscalls", "-p", str(gone.pid)).refused()


def test_a_thread_is_not_a_process(netprobe):
    code = "import threading, time, sys\nt = threading.Thread(target=time.sleep, args=(60,), daemon=True); t.start()\n"
    code += "print(t.native_id, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        tid = int(process.stdout.readline())
        said = netprobe("syscalls", "-p", str(tid)).refused()
        process.communicate(b"")
    assert f"{tid} is a thread of process {process.pid}" in said


def test_no_process_of_that_name(netprobe):
    assert "nosuchname" in netprobe("syscalls", "--comm", "nosuchname").refused()


def test_a_name_that_is_not_utf8(gated, recording, rows):
    target = gated("named", b"bad\xff")
    session = recording("syscalls", "-d", 1, "--json", "--comm", os.fsdecode(b"bad\xff"))
    target.go()
    assert [row["calls"] for row in rows(session.finish().json(), syscall="getppid")] == [17]


def test_a_process_that_ends_during_the_recording(gated, recording, tmp_path):
    target = gated("calls", 110, 43)
    session = recording("syscalls", "-p", target.pid, "-d", 60, "-o", tmp_path / "run")
    began = time.monotonic()
    target.go()
    done = session.finish()
    assert time.monotonic() - began < 5
    assert done.status == 0
    assert "(stopped when the target exited)" in done.out.splitlines()[0]
    assert "getppid" in done.out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recording"]["stopped_by"] == "target exited"


def test_a_process_that_is_killed_during_the_recording(gated, recording, rows):
    target = gated("naps", 100_000, 1000)
    session = recording("syscalls", "-p", target.pid, "-d", 60, "--json")
    target.start()
    time.sleep(0.3)
    target.end()
    result = session.finish().json()
    assert result["recording"]["stopped_by"] == "target exited"
    assert rows(result, syscall="clock_nanosleep")[0]["calls"] > 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["syscalls", "switches"])
def test_a_signal_stops_the_recording(gated, recording, tmp_path, number, command):
    import netprobe

    target = gated("naps", 100_000, 1000)
    session = recording(command, "-p", target.pid, "-d", 60, "-o", tmp_path / "run")
    target.start()
    time.sleep(0.4)
    began = time.monotonic()
    done = session.stop(number)
    assert time.monotonic() - began < 3
    assert done.status == 0, done.err
    assert f"(stopped by {number.name})" in done.out
    assert f"Run written to {tmp_path / 'run'}" in done.err
    run = netprobe.load(tmp_path / "run")
    assert run.info.recording.stopped_by == number.name
    assert len(run.table(command)) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_compilation(recording, wait_for, number):
    """netprobe ends soon, with a message and without a traceback."""
    session = recording("syscalls", "-d", 60, "--no-cache", attached=False)
    children = Path(f"/proc/{session.pid}/task/{session.pid}/children")
    wait_for(lambda: children.read_text().split(), "the compiler")
    done = session.stop(number)
    assert "Traceback" not in done.err
    # 130 is what a shell calls an interrupted command.
    assert done.status in (0, 2, 1, 130, -number)
    assert done.out or done.err or done.status < 0


def test_ctrl_c_twice(gated, recording):
    target = gated("naps", 100_000, 1000)
    session = recording("syscalls", "-p", target.pid, "-d", 60)
    target.start()
    session.process.send_signal(signal.SIGINT)
    session.process.send_signal(signal.SIGINT)
    done = session.finish()
    assert "Traceback" not in done.err


def in_kernel() -> set[tuple[str, int]]:
    """All BPF programs and maps that the kernel holds now, by bpftool."""
    found = set()
    for kind in ("prog", "map"):
        said = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=True).stdout
        found |= {(kind, one["id"]) for one in json.loads(said)}
    return found


@pytest.mark.parametrize("arguments", [["syscalls", "-L"], ["switches", "-L"]])
def test_nothing_is_left_after_sigkill(recording, kernel_ids, wait_for, arguments):
    session = recording(*arguments, "-d", 60)
    own = kernel_ids(session.pid)
    assert len([kind for kind, _ in own if kind == "prog"]) >= 5
    assert len([kind for kind, _ in own if kind == "map"]) >= 5
    assert own <= in_kernel()
    session.stop(signal.SIGKILL)
    wait_for(lambda: not own & in_kernel(), "the kernel to free netprobe's programs and maps")


def test_nothing_is_left_after_a_normal_end(recording, kernel_ids, wait_for):
    session = recording("syscalls", "-d", 60)
    own = kernel_ids(session.pid)
    assert session.stop().status == 0
    wait_for(lambda: not own & in_kernel(), "the kernel to free netprobe's programs and maps")


def test_a_suspended_server_does_not_start_when_netprobe_is_killed(recording, wait_for, tmp_path):
    mark = tmp_path / "started"
    session = recording("syscalls", "--", "sh", "-c", f"touch {mark}; sleep 61", attached=False)
    held = wait_for(lambda: children_of(session.pid), "the held server")
    session.stop(signal.SIGKILL)
    try:
        wait_for(lambda: not Path(f"/proc/{held[0]}").exists(), "the held server's end", 3)
    finally:
        if Path(f"/proc/{held[0]}").exists():
            os.kill(int(held[0]), signal.SIGKILL)
    assert not mark.exists()


def children_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []


@pytest.mark.parametrize(
    "arguments", [["syscalls", "-d", "1"], ["switches", "-d", "1", "--json"], ["syscalls", "--", "true"]]
)
def test_not_root(outcome, checkout, arguments):
    command = [*NOBODY, sys.executable, "-B", "-m", "netprobe", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=30)
    said = outcome(done.returncode, done.stdout, done.stderr).refused()
    assert "user 65534" in said
    assert "CAP_BPF" in said
    assert "sudo" in said


def test_a_run_of_root_is_readable_by_nobody(recording, tmp_path):
    """Its permissions follow the umask."""
    recording("syscalls", "-d", 0.3, "-o", tmp_path / "run").finish()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o777 & ~umask()
    for file in (tmp_path / "run").iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_root_without_the_capabilities(recording):
    session = recording("syscalls", "-d", 1, prefix=WITHOUT_TRACING, attached=False)
    said = session.finish().refused()
    assert "root without" in said
    assert "CAP_BPF" in said


def test_capabilities_suffice_without_root(recording, gated, rows, tmp_path):
    """CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, as the message promises."""
    prefix = (*NOBODY, "--inh-caps", "+bpf,+perfmon,+sys_ptrace", "--ambient-caps", "+bpf,+perfmon,+sys_ptrace")
    target = gated("counted")
    session = recording("syscalls", "-p", target.pid, "-d", 60, "--json", prefix=prefix, cwd="/", attached=False)
    session.attached()
    target.go()
    assert [row["calls"] for row in rows(session.finish().json(), syscall="getppid")] == [10_007]
