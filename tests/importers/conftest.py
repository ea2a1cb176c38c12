"""Fixtures: texts as reports and as Runs, installed tools, and a workload with a known number of calls."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from netprobe.importers.imported_run import as_run
from netprobe.importers.reading import read_reports
from netprobe.importers.report import Report
from netprobe.importers.selection import why_separate
from netprobe.run.model import Run

# Prints its PID, waits for a line, makes system calls that other programs rarely make, and prints that it is done.
WORKLOAD = """
import os, sys
print(os.getpid(), flush=True)
sys.stdin.readline()
for _ in range({calls}):
    os.sched_get_priority_max(1)
print("done", flush=True)
sys.stdin.readline()
"""
CALLS = 10_007
CALL = "sched_get_priority_max"


@pytest.fixture
def reports(tmp_path) -> Callable[..., list[Report]]:
    """The reports of a text."""

    def read(text: str | bytes, architecture: str = "x86_64") -> list[Report]:
        path = tmp_path / "text"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_reports(path, architecture)

    return read


@pytest.fixture
def report(reports) -> Callable[..., Report]:
    """The only report of a text."""

    def read(text: str | bytes, architecture: str = "x86_64") -> Report:
        (one,) = reports(text, architecture)
        return one

    return read


@pytest.fixture
def run_of(reports) -> Callable[..., Run]:
    """The Run of a text."""

    def read(text: str, seconds: float | None = None, requests: float | None = None) -> Run:
        found = reports(text)
        assert not why_separate(found, seconds)
        return as_run(found, seconds, requests)

    return read


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Path of a tool; skips where it is not installed, fails in CI."""

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if path is None and os.environ.get("CI"):
            pytest.fail(f"CI is set, and {name} is not installed", pytrace=False)
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find


@contextmanager
def _working(calls: int) -> Iterator[tuple[int, Callable[[], None]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKLOAD.format(calls=calls)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin
        assert process.stdout

        def work(stdin: IO[str] = process.stdin, stdout: IO[str] = process.stdout) -> None:
            stdin.write("\n")
            stdin.flush()
            assert stdout.readline() == "done\n"

        yield int(process.stdout.readline()), work
    finally:
        process.communicate("\n", timeout=10)


@pytest.fixture
def working() -> Callable[[int], object]:
    """A process that makes this number of calls on request: its PID, and the function that requests them."""
    return _working


@pytest.fixture
def article(checkout: Path) -> Path:
    """The investigation, which is beside the checkout and not part of it."""
    path = checkout.parent / "shared" / "source-article.txt"
    if not path.exists() and os.environ.get("CI"):
        pytest.fail(f"CI is set, and {path} is not there", pytrace=False)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
