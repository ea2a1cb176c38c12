"""A system without BTF, BCC or temporary files, simulated with mounts in a separate namespace."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("netprobe")


def hidden(path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run netprobe where an empty directory hides `path`."""
    script = f"mount -t tmpfs none {path}; exec {COMMAND} {' '.join(arguments)}"
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False, timeout=30
    )


def test_no_btf(outcome):
    done = hidden("/sys/kernel/btf", "syscalls", "-d", "1")
    said = outcome(done.returncode, done.stdout, done.stderr).refused()
    assert "no BTF type information" in said
    assert "CONFIG_DEBUG_INFO_BTF" in said


def test_no_bcc(outcome):
    done = hidden("/usr/lib/python3/dist-packages/bcc", "syscalls", "-d", "1", "--no-cache")
    said = outcome(done.returncode, done.stdout, done.stderr).refused()
    for words in ("apt install python3-bpfcc", "dnf install python3-bcc", "pacman -S python-bcc"):
        assert words in said


@pytest.mark.parametrize("path", ["/lib/modules", "/sys/kernel/tracing", "/sys/kernel/debug", "/usr/src"])
def test_paths_that_are_not_needed(path):
    if not Path(path).is_dir():
        pytest.skip(f"there is no {path} here: all other tests show that it is not needed")
    done = hidden(path, "syscalls", "-d", "0.3")
    assert done.returncode == 0, done.stderr
    assert "SYSCALL" in done.stdout or "No system call" in done.stdout


def test_no_room_for_temporary_files():
    """/tmp is full or read-only: messages of the compiler are captured in memory."""
    if str(COMMAND).startswith("/tmp/"):
        pytest.skip("netprobe itself is below /tmp here, and could not be started with that hidden")
    hiding = "mount -t tmpfs -o ro none /tmp; mount -t tmpfs -o ro none /var/tmp"
    script = f"{hiding}; cd /; exec {COMMAND} syscalls -d 0.3 --no-cache"
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)


def test_messages_of_the_compiler_are_not_shown(recording):
    done = recording("syscalls", "-d", 0.3, "-L", "-x", "--no-cache").finish()
    lines = done.err.splitlines()
    assert len(lines) == 2, done.err
    assert lines[0].startswith("Attached in")
    assert lines[1].startswith("netprobe: the probes used")
