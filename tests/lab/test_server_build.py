import os
from pathlib import Path

import pytest

from netprobe.errors import NetprobeError
from netprobe.lab import server


def compiler_that_prints(directory: Path, message: str) -> str:
    directory.mkdir()
    cc = directory / "cc"
    cc.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n")
    cc.chmod(0o755)
    return str(directory)


def test_builds_once() -> None:
    program = server.build()
    built = program.stat().st_mtime_ns
    assert os.access(program, os.X_OK)
    assert server.build().stat().st_mtime_ns == built


def test_force_builds_again_without_temporary_files() -> None:
    before = server.build().stat().st_ino
    program = server.build(force=True)
    assert program.stat().st_ino != before
    assert [path.name for path in program.parent.iterdir()] == [program.name]


def test_changed_source_builds_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "server"
    sources.mkdir()
    monkeypatch.setattr(server, "_SOURCES", sources)
    monkeypatch.setattr(server, "_CHECKOUT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (sources / "main.c").write_text("int main(void) { return 3; }\n")
    first = server.build()
    assert first.is_relative_to(tmp_path / "cache/netprobe/lab")
    (sources / "main.c").write_text("int main(void) { return 5; }\n")
    second = server.build()
    assert [os.waitstatus_to_exitcode(os.system(str(program))) for program in (first, second)] == [3, 5]


def test_error_of_a_missing_compiler_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NetprobeError) as raised:
        server.build(force=True)
    assert "gcc, libc6-dev and liburing-dev" in raised.value.hint


@pytest.mark.parametrize(
    "message",
    [
        "uring.c:6:10: fatal error: liburing.h: No such file or directory",
        "/usr/bin/ld: cannot find -luring: No such file or directory",
    ],
)
def test_error_of_a_missing_liburing_names_the_packages(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", compiler_that_prints(tmp_path / "bin", message))
    with pytest.raises(NetprobeError, match="liburing") as raised:
        server.build(force=True)
    assert "gcc, libc6-dev and liburing-dev" in raised.value.hint


def test_compiler_error_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", compiler_that_prints(tmp_path / "bin", "main.c:7: error: prime expected"))
    with pytest.raises(NetprobeError, match="error: prime expected"):
        server.build(force=True)
