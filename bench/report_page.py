"""The report of a Run of a minute, and of two: size, and seconds until it can be used in Chromium.

As the first page of a browser that was just started for it, and once more in the same browser. Beside them: a page of
plotly's script and nothing else.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from flame_page import started_browser
from spread import describe, line
from throughput import NETPROBE

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.load.generator import wrk_command
from netprobe.render.plotly_js import plotly_js

_SECONDS, _SIZE_BAR_MB, _TIME_BAR_S = 60, 6, 1.5
_MARKS = """
const done = arguments[arguments.length - 1];
const wait = () => {
  if (document.documentElement.dataset.ready !== "1") return setTimeout(wait, 20);
  done(["interactive", "drawn"].map((name) => performance.getEntriesByName(name)[0].startTime / 1000));
};
wait();
"""
_ALL_DONE = """
performance.mark("interactive");
performance.mark("drawn");
document.documentElement.dataset.ready = "1";
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


def _load(page: Path, rounds: int) -> dict[str, list[list[float]]]:
    """Seconds to both marks, in a browser just started and in the same one again."""
    first: list[list[float]] = []
    again: list[list[float]] = []
    for _ in range(rounds):
        with started_browser() as driver:
            for seconds in (first, again):
                driver.get("about:blank")
                driver.get(f"file://{page}")
                seconds.append(driver.execute_async_script(_MARKS))
    return {"first": first, "again": again}


def _measure(what: str, page: Path, rounds: int) -> dict[str, Any]:
    results = {}
    for when, seconds in _load(page, rounds).items():
        for index, mark in enumerate(("can be used", "all is drawn")):
            values = [one[index] for one in seconds]
            name = f"{what}, {when}: {mark}"
            print(line(name, values, f"s (bar: {_TIME_BAR_S})" if not index else "s"), flush=True)
            results[f"{name}, s"] = describe(values)
    return results


def run(rounds: int) -> dict[str, Any]:
    """Each round starts a browser of its own."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as temporary:
        folder = Path(temporary)
        runs = _record(folder)
        for what, sides in (("one Run", runs[:1]), ("two Runs", runs)):
            page = folder / f"{len(sides)}.html"
            subprocess.run([NETPROBE, "report", *sides, "-o", str(page)], check=True, capture_output=True)
            size = page.stat().st_size / 1e6
            print(f"{f'{what}: page':34} {size:.2f} MB (bar: {_SIZE_BAR_MB})", flush=True)
            results |= _measure(what, page, rounds)
            results[f"{what}, MB"] = size
        page = folder / "plotly.html"
        page.write_text(f"<!doctype html><script>{plotly_js()}</script><script>{_ALL_DONE}</script>")
        results |= _measure("plotly alone", page, rounds)
    return results


if __name__ == "__main__":
    run(5)
