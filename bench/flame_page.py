"""A page of 200,000 frames: time to write, size, first paint and zoom in Chromium, with the limits of the project."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from spread import describe, line

from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.tree import build
from flamegraph.writers import write

_CHROMIUM, _DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
_LEVELS, _DEPTH, _FUNCTIONS, _THREADS, _INTERVALS = 14, 26, 4000, 8, 50
_PAINTED = """
const done = arguments[arguments.length - 1];
const wait = () => {
  if (document.documentElement.dataset.ready !== "1") return setTimeout(wait, 5);
  requestAnimationFrame(() => requestAnimationFrame(() => {
    done([performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, performance.now()]);
  }));
};
wait();
"""
# From the key press to the end of the frame that displays its effect.
_ZOOM = """
const [key, done] = arguments;
const press = (name) => document.getElementById("scroll").dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true }));
document.getElementById("scroll").focus();
if (key === "Enter") for (let i = 0; i < 3; i++) press("ArrowUp");
requestAnimationFrame(() => {
  const began = performance.now();
  press(key);
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now() - began);
    channel.port2.postMessage(0);
  });
});
"""


def profile() -> Profile:
    """Stacks with common beginnings, like the leaves of a binary tree, some of them in several threads."""
    stack, level = np.meshgrid(np.arange(2**_LEVELS), np.arange(_DEPTH), indexing="ij")
    frame = ((stack >> np.maximum(_LEVELS - level, 0)) * 2654435761 + level * 40503) % _FUNCTIONS
    frames = [
        Frame(f"part_{i % 61}::function_{i}(int)", f"/lib/part_{i % 61}.so", Kind(i % 5)) for i in range(_FUNCTIONS)
    ]
    random = np.random.default_rng(11)
    rows = np.concatenate((np.arange(2**_LEVELS), random.integers(0, 2**_LEVELS, 4 * 2**_LEVELS)))
    count = random.integers(1, 40, len(rows))
    intervals = random.integers(0, _INTERVALS, len(rows))
    samples = Samples(rows, rows % _THREADS, intervals, count, count.astype(np.float64))
    threads = [Thread(1, 2 + number, f"reactor-{number}") for number in range(_THREADS)]
    stacks = Stacks(np.arange(2**_LEVELS + 1) * _DEPTH, frame.reshape(-1))
    return Profile(frames, stacks, threads, samples, Info("cycles", "samples", 50.0, 1.0, _INTERVALS, title="Bench"))


def run(rounds: int) -> dict[str, Any]:
    """Write the page, then load and zoom it in a window of 1440 x 900 pixels."""
    built = profile()
    frames = len(build(built))
    results: dict[str, Any] = {"frames": frames}
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as folder:
        path = Path(folder, "page.html")
        results["write_s"] = describe([_timed(built, path) for _ in range(rounds)])
        results["size_mb"] = path.stat().st_size / 1e6
        paints, drawn, zooms = _in_browser(path, rounds)
    results |= {"first_paint_ms": describe(paints), "drawn_ms": describe(drawn), "zoom_ms": describe(zooms)}
    print(f"{frames:,} frames, file {results['size_mb']:.2f} MB (limit: 10)")
    print(line("HTML written", results["write_s"]["values"], "s"))
    print(line("first paint (limit: 1000)", paints, "ms", 0))
    print(line("graph on the screen (limit: 1000)", drawn, "ms", 0))
    print(line("zoom, key to frame (limit: 50)", zooms, "ms", 1))
    return results


def _timed(built: Profile, path: Path) -> float:
    began = time.perf_counter()
    write(built, path)
    return time.perf_counter() - began


def _in_browser(path: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """First paint, graph drawn and zooms, in milliseconds."""
    paints, drawn, zooms = [], [], []
    with started_browser() as driver:
        for _ in range(rounds):
            driver.get("about:blank")
            driver.get(path.as_uri())
            first, complete = driver.execute_async_script(_PAINTED)
            paints.append(float(first))
            drawn.append(float(complete))
            for key in ("Enter", "Enter", "Escape", "Escape"):
                zooms.append(float(driver.execute_async_script(_ZOOM, key)))
    return paints, drawn, zooms


@contextlib.contextmanager
def started_browser() -> Iterator[Any]:
    """A Chromium with an empty profile."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    with tempfile.TemporaryDirectory(prefix="netprobe-bench-") as data:
        for argument in ("--headless=new", "--no-sandbox", "--window-size=1440,900", f"--user-data-dir={data}"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=_DRIVER))
        try:
            yield driver
        finally:
            driver.quit()
