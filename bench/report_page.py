"""The report of a Run of a minute, and of two: size, and seconds until it can be used in a Chromium just started."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from flame_page import started_browser
from spread import describe, line
from throughput import NETPROBE

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.wrk import wrk_command

_SECONDS, _SIZE_BAR_MB, _TIME_BAR_S = 60, 6, 1.5
_MARKS = """
const done = arguments[arguments.length - 1];
const wait = () => {
  if (document.documentElement.dataset.ready !== "1") return setTimeout(wait, 20);
  done(["interactive", "drawn"].map((name) => performance.getEntriesByName(name)[0].startTime / 1000));
};
wait();
"""


def _record(folder: Path) -> list[str]:
    """Two Runs of nginx under load."""
    with Nginx(NginxOptions(workers=2)) as nginx:
        load = subprocess.Popen(wrk_command(nginx.url, 2 * _SECONDS + 30), stdout=subprocess.DEVNULL)
        for name in ("a", "b"):
            command = [NETPROBE, "record", "-p", str(nginx.pid), "-d", str(_SECONDS), "-o", str(folder / name)]
            subprocess.run(command, check=True, capture_output=True)
        load.terminate()
        load.wait()
    return [str(folder / "a"), str(folder / "b")]


def run(rounds: int) -> dict[str, Any]:
    """Each round starts a browser of its own."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as name:
        folder = Path(name)
        runs = _record(folder)
        for what, sides in (("one Run", runs[:1]), ("two Runs", runs)):
            page = folder / f"{len(sides)}.html"
            subprocess.run([NETPROBE, "report", *sides, "-o", str(page)], check=True, capture_output=True)
            size = page.stat().st_size / 1e6
            seconds = []
            for _ in range(rounds):
                with started_browser() as driver:
                    driver.get(f"file://{page}")
                    seconds.append(driver.execute_async_script(_MARKS))
            print(f"{f'{what}: page':34} {size:.2f} MB (bar: {_SIZE_BAR_MB})", flush=True)
            for index, mark in enumerate(("can be used", "all is drawn")):
                values = [one[index] for one in seconds]
                print(line(f"{what}: {mark}", values, f"s (bar: {_TIME_BAR_S})" if not index else "s"), flush=True)
                results[f"{what}, {mark}, s"] = describe(values)
            results[f"{what}, MB"] = size
    return results


if __name__ == "__main__":
    run(5)
