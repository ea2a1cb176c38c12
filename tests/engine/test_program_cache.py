"""The cache holds code that root loads: whatever is not exactly as netprobe wrote it is not used."""

import json
import os
import subprocess
import sys
import time

import pytest

from netprobe.engine import program_cache
from netprobe.engine.btf import PATH as BTF_PATH
from netprobe.engine.program_cache import (
    ProgramCache,
    UnusableCacheError,
    answers_key,
    default_directory,
    program_key,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
KEY, OTHER = "program-" + "ab" * 32, "program-" + "cd" * 32
NOBODY = 65534


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cache(path):
    opened = ProgramCache(str(path))
    yield opened
    opened.close()


def test_an_entry_is_read_as_it_was_written(cache, path):
    cache.put(KEY, {"maps": [1, 2]})
    assert cache.get(KEY) == ({"maps": [1, 2]}, "")
    assert path.stat().st_mode & 0o7777 == 0o700
    assert (path / KEY).stat().st_mode & 0o7777 == 0o600
    assert cache.get(OTHER) == (None, "there is no entry")


def test_the_umask_does_not_open_it(path):
    before = os.umask(0)
    try:
        cache = ProgramCache(str(path))
        cache.put(KEY, 1)
        assert path.stat().st_mode & 0o7777 == 0o700
        assert (path / KEY).stat().st_mode & 0o7777 == 0o600
        cache.close()
    finally:
        os.umask(before)


# ---- Entries ----


@pytest.mark.parametrize("position", [0, 31, 32, 40, -1])
def test_one_changed_bit_is_noticed(cache, path, position):
    cache.put(KEY, {"code": "95" * 100})
    content = bytearray((path / KEY).read_bytes())
    content[position] ^= 1
    (path / KEY).write_bytes(content)
    assert cache.get(KEY) == (None, "the entry is corrupt")


@pytest.mark.parametrize("length", [0, 10, 32, 100])
def test_a_truncated_entry_is_noticed(cache, path, length):
    cache.put(KEY, {"code": "95" * 100})
    os.truncate(path / KEY, length)
    assert cache.get(KEY) == (None, "the entry is corrupt")


def test_an_entry_under_the_name_of_another_is_not_used(cache, path):
    cache.put(KEY, 1)
    (path / KEY).rename(path / OTHER)
    assert cache.get(OTHER) == (None, "the entry is corrupt")


@as_root
def test_an_entry_of_another_user_is_not_used(cache, path):
    cache.put(KEY, 1)
    os.chown(path / KEY, NOBODY, NOBODY)
    assert cache.get(KEY) == (None, f"the entry belongs to user {NOBODY}")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o644, 0o666])
def test_an_entry_that_is_open_to_others_is_not_used(cache, path, mode):
    cache.put(KEY, 1)
    (path / KEY).chmod(mode)
    assert cache.get(KEY) == (None, f"the entry is open to other users (mode {mode:04o})")


def test_an_entry_that_is_a_link_is_not_followed(cache, path, tmp_path):
    cache.put(KEY, 1)
    (path / KEY).rename(tmp_path / "elsewhere")
    (path / KEY).symlink_to(tmp_path / "elsewhere")
    assert cache.get(KEY) == (None, "the entry cannot be opened (Too many levels of symbolic links)")
    # A new entry replaces the link, not what it points to.
    cache.put(KEY, 2)
    assert not (path / KEY).is_symlink()
    assert cache.get(KEY) == (2, "")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_an_entry_that_is_no_file_is_not_used(cache, path, make):
    """And it blocks nobody: opening a FIFO would wait for a writer."""
    make(path / KEY, 0o600)
    assert cache.get(KEY) == (None, "the entry is not a regular file")
    cache.put(KEY, 1)  # cannot replace a directory, which is no error


# ---- The directory ----


@as_root
def test_a_directory_of_another_user_is_not_used(path):
    path.mkdir(0o700)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(UnusableCacheError, match=f"{path} belongs to user {NOBODY}"):
        ProgramCache(str(path))


@pytest.mark.parametrize("mode", [0o710, 0o750, 0o701, 0o777, 0o1777])
def test_a_directory_that_is_open_to_others_is_not_used(path, mode):
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(UnusableCacheError, match="is open to other users"):
        ProgramCache(str(path))


def test_a_link_to_a_directory_is_not_followed(path, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnusableCacheError, match=r"Not a directory|Too many levels"):
        ProgramCache(str(path))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_directory_that_is_replaced_later_is_not_used(cache, path, tmp_path):
    """It is held by its descriptor: the directory that was checked is the one that is used."""
    path.rename(tmp_path / "moved")
    path.mkdir(0o777)
    cache.put(KEY, 1)
    assert list(path.iterdir()) == []
    assert cache.get(KEY) == (1, "")


def test_the_directory_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableCacheError):
        ProgramCache(str(tmp_path / "file" / "cache"))


def test_root_ignores_the_environment(monkeypatch):
    """sudo may keep HOME and XDG_CACHE_HOME of the user who called it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/somebody/.cache")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory() == "/var/cache/netprobe"


def test_another_user_has_a_directory_of_their_own(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_directory() == "/home/somebody/.cache/netprobe"
    monkeypatch.setenv("XDG_CACHE_HOME", "/data/cache")
    assert default_directory() == "/data/cache/netprobe"
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    with pytest.raises(UnusableCacheError):
        default_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    with pytest.raises(UnusableCacheError):
        default_directory()


# ---- Keys ----


def test_the_key_changes_with_all_that_the_program_depends_on(monkeypatch, tmp_path):
    kernel = b"a kernel"
    keys = {program_key(kernel, "int a;"), program_key(kernel, "int b;"), program_key(b"another kernel", "int a;")}
    cpus = program_cache.possible_cpus()
    monkeypatch.setattr(program_cache, "possible_cpus", lambda: cpus + 1)
    keys.add(program_key(kernel, "int a;"))
    (tmp_path / "include").mkdir()
    monkeypatch.setattr(program_cache, "resource", lambda name: tmp_path)
    for header in ("#define A 1", "#define A 2"):
        (tmp_path / "include" / "types.h").write_text(header)
        keys.add(program_key(kernel, "int a;"))
    monkeypatch.setattr(program_cache, "_FORMAT", 0)
    keys |= {program_key(kernel, "int a;"), answers_key(kernel), answers_key(b"another kernel")}
    assert len(keys) == 9


@pytest.mark.skipif(not os.path.exists(BTF_PATH), reason="this kernel has no BTF")
def test_kernels_have_different_identities(monkeypatch):
    real = os.uname()
    identity = program_cache.kernel_identity()
    assert identity == program_cache.kernel_identity()
    for number, value in ((2, "6.1.0-44-amd64"), (3, "#1 SMP"), (4, "aarch64")):
        changed = os.uname_result([*real[:number], value, *real[number + 1 :]])
        monkeypatch.setattr(os, "uname", lambda changed=changed: changed)
        assert program_cache.kernel_identity() != identity


# ---- Size ----


def test_the_least_recently_used_entries_are_removed(cache, path, monkeypatch):
    monkeypatch.setattr(program_cache, "_MAX_ENTRIES", 3)
    names = [f"program-{number:064x}" for number in range(4)]
    for number, name in enumerate(names[:3]):
        cache.put(name, number)
        os.utime(path / name, ns=(0, number * 10**9))
    assert cache.get(names[0]) == (0, "")  # is now the most recently used
    cache.put(names[3], 3)
    assert sorted(found.name for found in path.iterdir()) == [names[0], names[2], names[3]]


def test_its_bytes_are_limited(cache, path, monkeypatch):
    monkeypatch.setattr(program_cache, "_MAX_BYTES", 2500)
    for number in range(4):
        cache.put(f"program-{number:064x}", "x" * 1000)
        os.utime(path / f"program-{number:064x}", ns=(0, number * 10**9))
    cache.put(KEY, 1)
    assert sum(found.stat().st_size for found in path.iterdir()) <= 2500
    assert cache.get(KEY) == (1, "")


def test_what_an_interrupted_writer_left_is_removed(cache, path):
    old, new = path / f".{KEY}.1", path / f".{KEY}.2"
    for left in (old, new):
        left.write_text("half")
    os.utime(old, (0, time.time() - 7200))
    cache.put(KEY, 1)
    assert not old.exists()
    assert new.exists()  # its writer may be alive


def test_a_full_disk_is_no_error(cache, path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    cache.put(KEY, 1)
    assert list(path.iterdir()) == []


# ---- Several processes ----

_WRITER = """
import sys
from netprobe.engine.program_cache import ProgramCache
cache = ProgramCache(sys.argv[1])
for number in range(100):
    cache.put(sys.argv[2], [sys.argv[3]] * (500 + number))
    document, reason = cache.get(sys.argv[2])
    assert document, reason
    assert len(set(document)) == 1, document
"""


def test_concurrent_writers_leave_whole_entries(path):
    command = [sys.executable, "-c", _WRITER, str(path), KEY]
    writers = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(3)]
    for writer in writers:
        _, said = writer.communicate(timeout=60)
        assert writer.returncode == 0, said.decode()
    assert [found.name for found in path.iterdir()] == [KEY]
    assert json.loads((path / KEY).read_bytes()[32:])


_COMPILER = """
import sys, time
from netprobe.engine.program_cache import ProgramCache
cache = ProgramCache(sys.argv[1])
with cache.compiling(sys.argv[2]):
    document, _ = cache.get(sys.argv[2])
    if document is None:
        time.sleep(0.2)
        cache.put(sys.argv[2], 1)
        print("compiled")
"""


def test_of_several_processes_one_compiles(path):
    command = [sys.executable, "-c", _COMPILER, str(path), KEY]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in started]
    assert sorted(said) == ["", "", "", "compiled\n"]


def test_a_process_that_does_not_run_on_is_not_waited_for(cache, path, monkeypatch):
    monkeypatch.setattr(program_cache, "_LOCK_TIMEOUT_S", 0.2)
    code = _COMPILER.replace("time.sleep(0.2)", "print('locked', flush=True); time.sleep(60)")
    stopped = subprocess.Popen([sys.executable, "-c", code, str(path), KEY], stdout=subprocess.PIPE, text=True)
    try:
        assert stopped.stdout.readline() == "locked\n"
        began = time.monotonic()
        with cache.compiling(KEY):
            assert 0.2 <= time.monotonic() - began < 5
        began = time.monotonic()
        with cache.compiling(OTHER):
            assert time.monotonic() - began < 0.2
    finally:
        stopped.kill()
        stopped.communicate()
