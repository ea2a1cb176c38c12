"""Destinations of results: a Run, a pipe that closes, a full disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import netprobe as package
from netprobe.run.versions import FORMAT_VERSION

COMMAND = Path(sys.executable).with_name("netprobe")


def test_a_run_has_its_description_and_tables(record_workload, tmp_path):
    done = record_workload("waits", [], "syscalls", "-L", "-x", "-o", tmp_path / "run")
    assert done.status == 0
    run = package.load(tmp_path / "run")
    assert set(run.tables) == {
        "intervals", "threads", "syscalls", "syscall_timeouts", "syscall_errors", "syscall_latency",
        "syscall_latency_histogram", "epoll_changes",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        ["run.json", *(f"{name}.parquet" for name in run.tables)]
    )
    assert run.info.format_version == FORMAT_VERSION
    assert run.info.host.kernel == os.uname().release
    assert run.info.host.boot_parameters == Path("/proc/cmdline").read_text().strip()
    assert run.info.target.pids
    for name in run.tables:
        assert len(run.table(name)) > 0, name


def test_threads_with_affinity(gated, recording, tmp_path):
    target = gated("naps", 10_000, 1000)
    os.sched_setaffinity(target.pid, {1} if os.cpu_count() > 1 else {0})
    target.start()
    recording("switches", "-p", target.pid, "-d", 0.5, "-o", tmp_path / "run").finish()
    (row,) = package.load(tmp_path / "run").table("threads").to_dict("records")
    assert row["cpus_allowed"] == ("1" if os.cpu_count() > 1 else "0")
    assert (row["pid"], row["tid"], row["thread"]) == (target.pid, target.pid, "naps")


def test_the_length_of_intervals(gated, recording, tmp_path):
    target = gated("naps", 10_000, 500)
    target.start()
    recording("syscalls", "-p", target.pid, "-d", 1, "-i", 0.25, "-o", tmp_path / "run").finish()
    run = package.load(tmp_path / "run")
    intervals = run.table("intervals")
    assert len(intervals) == 4
    assert intervals["duration_s"].tolist() == pytest.approx([0.25] * 4, abs=0.05)
    assert intervals["start_s"].tolist() == pytest.approx(intervals["duration_s"].cumsum().shift(fill_value=0).tolist())
    assert set(run.table("syscalls").query("syscall == 'clock_nanosleep'")["interval"]) == {0, 1, 2, 3}


def test_an_older_run_is_replaced(record_workload, tmp_path):
    run = tmp_path / "run"
    record_workload("calls", [110, 7], "syscalls", "-o", run)
    (run / "left-over").touch()
    record_workload("calls", [110, 11], "syscalls", "-o", run)
    assert package.load(run).table("syscalls").query("syscall == 'getppid'")["calls"].tolist() == [11]
    assert not (run / "left-over").exists()
    assert not list(tmp_path.glob(".run*"))


def refused_before_recording(netprobe, *arguments: object) -> str:
    said = netprobe("syscalls", "-d", "30", *map(str, arguments)).refused()
    assert "Attached" not in said
    return said


def test_other_directories_are_not_overwritten(netprobe, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("all")
    said = refused_before_recording(netprobe, "-o", tmp_path / "thesis")
    assert "is not a Run" in said
    assert (tmp_path / "thesis" / "chapter").read_text() == "all"


def test_unsuitable_destinations(netprobe, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in ("file", "link", "no/such/directory", ""):
        refused_before_recording(netprobe, "-o", tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_destination_that_nobody_can_write_to(netprobe):
    assert "cannot write in /proc" in refused_before_recording(netprobe, "-o", "/proc/run")


def piped(arguments: str, reader: str) -> tuple[int, str, str]:
    """(exit status of netprobe, output of the reader, standard error) of a pipe."""
    script = f"{COMMAND} {arguments} | {reader}; echo ${{PIPESTATUS[0]}} >&3"
    read, write = os.pipe()
    with os.fdopen(read) as status:
        command = ["bash", "-c", f"exec 3>&{write}; {script}"]
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=[write], check=False, timeout=30)
        os.close(write)
        return int(status.read()), done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ["syscalls -d 0.3 -T 0", "switches -d 0.3 -T 0", "syscalls -d 0.3 --json"])
def test_a_reader_that_exits(arguments):
    status, shown, errors = piped(arguments, "head -1")
    assert shown
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    assert status == 0


def test_the_run_is_written_when_the_reader_exits(tmp_path):
    status, _, errors = piped(f"syscalls -d 0.3 -T 0 -o {tmp_path / 'run'}", "true")
    assert "Traceback" not in errors
    assert len(package.load(tmp_path / "run").table("threads")) > 0
    assert status == 0


def test_help_when_the_reader_exits():
    _, _, errors = piped("--help", "true")
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


@pytest.mark.parametrize("arguments", [["syscalls", "-d", "0.3"], ["switches", "-d", "0.3", "--json"], ["--help"]])
def test_standard_output_on_a_full_disk(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30
        )
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert done.returncode == 2


def test_standard_output_closed():
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} syscalls -d 0.3 >&-"], capture_output=True, text=True, check=False, timeout=30
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_with_another_encoding(record_workload, monkeypatch, encoding):
    """`median 100 µs` and `…` on a standard output without these characters."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = record_workload("waits", [], "syscalls", "-T", "3")
    assert "Traceback" not in done.err
    assert done.status == 0


FULL_DISK = """
set -e
mount -t tmpfs -o size=1m none {disk}
{netprobe} syscalls -d 0.2 -o {disk}/run >/dev/null
cp -a {disk}/run {before}
dd if=/dev/zero of={disk}/filler bs=4k 2>/dev/null || true
status=0
{netprobe} syscalls -d 0.2 -o {disk}/run >{out} || status=$?
echo $status >{status}
cp -a {disk}/run {after}
ls -A {disk} >{listing}
"""


def test_a_full_disk(tmp_path):
    places = {name: tmp_path / name for name in ("disk", "before", "after", "out", "status", "listing")}
    places["disk"].mkdir()
    script = FULL_DISK.format(netprobe=COMMAND, **places)
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert places["status"].read_text().strip() == "2"
    assert "SYSCALL" in places["out"].read_text(), "the result is printed all the same"
    assert "could not be written" in done.stderr
    assert "No space left on device" in done.stderr
    assert "Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(places["listing"].read_text().split()) == ["filler", "run"]
    old, kept = ({path.name: path.read_bytes() for path in places[name].iterdir()} for name in ("before", "after"))
    assert old == kept
    assert package.load(places["after"]).table("syscalls") is not None


def test_a_file_size_limit(tmp_path):
    """The same with `ulimit -f`: SIGXFSZ must not end netprobe without a message."""
    script = f"ulimit -f 1; {COMMAND} syscalls -d 0.2 -o {tmp_path / 'run'}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Make room" in done.stderr
    assert "SYSCALL" in done.stdout
    assert not list(tmp_path.iterdir())


def test_json_is_one_document_with_intervals(record_workload):
    done = record_workload("calls", [110, 5], "syscalls", "--json", "-i", "0.1")
    assert json.loads(done.out)["command"] == "syscalls"
