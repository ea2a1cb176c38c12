"""`netprobe record`, all probes and stacks at 99 Hz: memory over time, size of the Run, time of a diff.

bench/alternating.py measures the remaining throughput.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flame
from spread import describe, line

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.load.generator import wrk_command

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_SIZE_SECONDS, _FLAT_SECONDS, _SAMPLE_SECONDS = 60, 600, 15
MEMORY_BAR_MB, SIZE_BAR_MB, DIFF_BAR_S = 170, 5, 2


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _memory(folder: Path) -> dict[str, Any]:
    """Resident memory of a recording every 15 s, while nginx is under load."""
    with Nginx(NginxOptions(workers=2)) as nginx:
        load = subprocess.Popen(wrk_command(nginx.url, _FLAT_SECONDS + 30), stdout=subprocess.DEVNULL)
        command = [NETPROBE, "record", "-p", str(nginx.pid), "-d", str(_FLAT_SECONDS), "-o", str(folder / "long")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr
        while b"Attached" not in process.stderr.readline():
            pass
        seen = []
        for _ in range(_FLAT_SECONDS // _SAMPLE_SECONDS - 1):
            time.sleep(_SAMPLE_SECONDS)
            seen.append(_resident_mb(process.pid))
        process.communicate(timeout=120)
        _end(load)
    minute = 60 // _SAMPLE_SECONDS
    print(
        f"{'resident while recording':34} {seen[minute - 1]:.1f} MB after a minute, {seen[2 * minute - 1]:.1f} MB "
        f"after two, {seen[-1]:.1f} MB after {_FLAT_SECONDS / 60:.0f}, at most {max(seen):.1f} MB "
        f"(bar: {MEMORY_BAR_MB} MB, flat)",
        flush=True,
    )
    return {"resident_mb": seen, "every_s": _SAMPLE_SECONDS}


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
    """Prints and returns all three."""
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as name:
        folder = Path(name)
        return {
            "diff_s": _diff(max(3, rounds // 3), folder),
            "size_mb": _size(folder),
            "memory": _memory(folder),
        }


if __name__ == "__main__":
    run(15)
