"""Recordings with netprobe's program from the cache, from the compiler, and with entries that must not be used."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

COUNTED = 10_007
UNWANTED = ("libbcc", "libLLVM", "libclang", "libbpf")


@pytest.fixture
def folder(tmp_path):
    """Stands for /var/cache in the mount namespace of each netprobe."""
    path = tmp_path / "var-cache"
    path.mkdir()
    return path


@pytest.fixture
def start(recording, folder):
    """Start netprobe, with `folder` as its /var/cache."""
    prefix = ("unshare", "-m", "bash", "-c", f'mount --bind {folder} /var/cache && exec "$@"', "-")
    return lambda *arguments, **options: recording(*arguments, prefix=prefix, **options)


@pytest.fixture
def count(gated, start, rows):
    """Record a workload that makes a known number of calls; returns where the program came from."""

    def run(*options):
        target = gated("counted")
        session = start("syscalls", "-p", target.pid, "-d", 60, "--json", "-v", *options)
        target.go()
        done = session.finish()
        assert [row["calls"] for row in rows(done.json(), syscall="getppid")] == [COUNTED]
        return done.err.splitlines()[0]

    return run


def entry(folder: Path) -> Path:
    (found,) = (folder / "netprobe").glob("program-*")
    return found


def test_the_second_start_is_from_the_cache(count, folder):
    assert count() == "Program compiled: there is no entry."
    assert count() == "Program from the cache: /var/cache/netprobe."
    assert count("--no-cache") == "Program compiled: --no-cache."
    assert (folder / "netprobe").stat().st_mode & 0o7777 == 0o700
    assert {path.name.split("-")[0] for path in (folder / "netprobe").iterdir()} == {"lock", "program", "types"}


def test_no_cache_stores_nothing(count, folder):
    count("--no-cache")
    assert list(folder.iterdir()) == []


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def open_to_others(path: Path) -> None:
    path.chmod(0o666)


def foreign(path: Path) -> None:
    os.chown(path, 65534, 65534)


def sign(path: Path, document: object) -> None:
    """An entry with a valid checksum."""
    data = json.dumps(document).encode()
    path.write_bytes(hashlib.sha256(path.name.encode() + b"\0" + data).digest() + data)


def refused_by_the_kernel(path: Path) -> None:
    """Instructions that the verifier refuses: the program ends without a result."""
    document = json.loads(path.read_bytes()[32:])
    document["functions"]["on_exit"] = ["95" + "00" * 7, []]
    sign(path, document)


def incomplete(path: Path) -> None:
    document = json.loads(path.read_bytes()[32:])
    del document["functions"]["on_exit"]
    sign(path, document)


def of_another_compiler(path: Path) -> None:
    document = json.loads(path.read_bytes()[32:])
    document["compiler"][0][2] += 1
    sign(path, document)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (corrupt, "the entry is corrupt"),
        (open_to_others, "the entry is open to other users (mode 0666)"),
        (foreign, "the entry belongs to user 65534"),
        (refused_by_the_kernel, "the entry could not be loaded"),
        (incomplete, "the entry could not be loaded: it has no on_exit"),
        (of_another_compiler, "the compiler has changed"),
    ],
)
def test_an_entry_that_is_not_used_is_replaced(count, folder, change, reason):
    count()
    change(entry(folder))
    assert count().startswith(f"Program compiled: {reason}")
    assert count() == "Program from the cache: /var/cache/netprobe."


def test_a_directory_that_is_open_to_others_is_not_used(count, folder):
    (folder / "netprobe").mkdir()
    (folder / "netprobe").chmod(0o755)
    said = "Program compiled: the cache is not used: /var/cache/netprobe is open to other users (mode 0755)."
    assert count() == said
    assert list((folder / "netprobe").iterdir()) == []


def test_netprobe_never_loads_the_compiler(gated, start):
    """Neither when it compiles, which a child does, nor with the program from the cache."""
    target = gated("naps", 100_000, 1000)
    for origin in ("compiled", "from the cache"):
        session = start("syscalls", "-p", target.pid, "-d", 60, "-v")
        assert f"Program {origin}" in session.errors()
        maps = Path(f"/proc/{session.pid}/maps").read_text()
        assert not [name for name in UNWANTED if name in maps]
        session.stop()


@pytest.mark.timing("ten processes start on two cores at the same moment")
@pytest.mark.parametrize("full", [False, True])
def test_ten_at_once_count_correctly(gated, start, rows, count, full):
    if full:
        count()
    targets = [gated("counted") for _ in range(10)]
    began = time.monotonic()
    sessions = [start("syscalls", "-p", target.pid, "-d", 60, "--json", "-v", attached=False) for target in targets]
    for session in sessions:
        session.attached()
    seconds = time.monotonic() - began
    for target in targets:
        target.go()
    origins = []
    for session in sessions:
        done = session.finish()
        assert [row["calls"] for row in rows(done.json(), syscall="getppid")] == [COUNTED]
        origins.append("from the cache" in done.err)
    assert origins.count(False) == (0 if full else 1)
    assert seconds < 3
