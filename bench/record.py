"""`netprobe record`, all probes and stacks at 99 Hz: throughput that is left, memory over time, size; and its diff."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flame
from spread import describe, line
from throughput import running

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import Server, ServerOptions
from netprobe.lab.wrk import parse_wrk, wrk_command

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_EMPTY = [sys.executable, str(Path(__file__).with_name("empty_programs.py"))]
_LOAD_SECONDS = 2
_SIZE_SECONDS, _FLAT_SECONDS, _LOOK_SECONDS = 60, 600, 15
THROUGHPUT_BAR, MEMORY_BAR_MB, SIZE_BAR_MB, DIFF_BAR_S = 0.97, 170, 5, 2


def _load(url: str, cpus: str, seconds: int = _LOAD_SECONDS) -> float:
    command = ["taskset", "-c", cpus, *wrk_command(url, seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    return parse_wrk(done.stdout).per_second


@contextlib.contextmanager
def _nginx() -> Iterator[tuple[int, Callable[[], float]]]:
    with Nginx(NginxOptions(workers=1)) as nginx:
        yield nginx.pid, lambda: _load(nginx.url, "0-1")


@contextlib.contextmanager
def _lab_server() -> Iterator[tuple[int, Callable[[], float]]]:
    """On a CPU of its own, with the load generator on the other."""
    with Server(ServerOptions(threads=1, cpus=(0,))) as server:
        yield server.pid, lambda: _load(f"http://127.0.0.1:{server.port}/", "1")


def _throughput(rounds: int, folder: Path) -> dict[str, Any]:
    """Interleaved: without, with, without in every round."""
    results = {}
    for name, target in (("nginx", _nginx), ("lab server", _lab_server)):
        ratios: dict[str, list[float]] = {"everything on": [], "empty programs": []}
        with target() as (pid, load):
            load()
            for number in range(rounds):
                run = folder / f"{name.split()[0]}-{number}"
                everything = [NETPROBE, "record", "-p", str(pid), "-d", "600", "-o", str(run)]
                for what, command in (("everything on", everything), ("empty programs", _EMPTY)):
                    before = load()
                    with running(command):
                        during = load()
                    ratios[what].append(during / statistics.mean((before, load())))
        for what, values in ratios.items():
            print(line(f"{name}, {what}", values, "of the throughput"), flush=True)
            results[f"{name}, {what}"] = describe(values)
    return results


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _memory(folder: Path) -> dict[str, Any]:
    """Resident memory of a recording, looked at again and again, while nginx is under load."""
    with Nginx(NginxOptions(workers=2)) as nginx:
        load = subprocess.Popen(wrk_command(nginx.url, _FLAT_SECONDS + 30), stdout=subprocess.DEVNULL)
        command = [NETPROBE, "record", "-p", str(nginx.pid), "-d", str(_FLAT_SECONDS), "-o", str(folder / "long")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr
        while b"Attached" not in process.stderr.readline():
            pass
        seen = []
        for _ in range(_FLAT_SECONDS // _LOOK_SECONDS - 1):
            time.sleep(_LOOK_SECONDS)
            seen.append(_resident_mb(process.pid))
        process.communicate(timeout=120)
        _end(load)
    minute = 60 // _LOOK_SECONDS
    print(
        f"{'resident while recording':34} {seen[minute - 1]:.1f} MB after a minute, {seen[-1]:.1f} MB after "
        f"{_FLAT_SECONDS / 60:.0f}, at most {max(seen):.1f} MB (bar: {MEMORY_BAR_MB} MB, flat)",
        flush=True,
    )
    return {"resident_mb": seen, "every_s": _LOOK_SECONDS}


def _end(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def _size(folder: Path) -> float:
    """Megabytes of a Run of nginx on two CPUs."""
    path = folder / "minute"
    with Nginx(NginxOptions(workers=2)) as nginx:
        load = subprocess.Popen(wrk_command(nginx.url, _SIZE_SECONDS + 5), stdout=subprocess.DEVNULL)
        command = [NETPROBE, "record", "-p", str(nginx.pid), "-d", str(_SIZE_SECONDS), "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        _end(load)
    size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    print(f"{f'a Run of {_SIZE_SECONDS} s of nginx':34} {size:.2f} MB (bar: {SIZE_BAR_MB} MB)", flush=True)
    return size


def _diff(rounds: int, folder: Path) -> dict[str, Any]:
    """Two Runs of a million samples each."""
    names = []
    for name in ("a", "b"):
        part = folder / name
        part.mkdir()
        recorded = flame.record(part)
        run = folder / f"million-{name}"
        subprocess.run([NETPROBE, "import", str(recorded), "-o", str(run)], check=True, capture_output=True)
        recorded.unlink()
        names.append(str(run))
    costs = [flame.cost([NETPROBE, "diff", *names]) for _ in range(rounds)]
    print(line("diff of these two", [one.seconds for one in costs], f"s, bar {DIFF_BAR_S}"), flush=True)
    return describe([one.seconds for one in costs])


def run(rounds: int) -> dict[str, Any]:
    """Prints and returns all four."""
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as name:
        folder = Path(name)
        print(f"Bar of the throughput: {THROUGHPUT_BAR}.")
        return {
            "throughput": _throughput(rounds, folder),
            "diff_s": _diff(max(3, rounds // 3), folder),
            "size_mb": _size(folder),
            "memory": _memory(folder),
        }


if __name__ == "__main__":
    run(15)
