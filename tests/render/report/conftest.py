"""Pages in headless Chromium, and Runs with hostile names."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace as replace_fields

import netprobe
from netprobe.render.report import comparison_page, run_page
from netprobe.run.model import Run
from netprobe.run.table import Table

WAIT = 60.0
DATA = Path(__file__).parents[2] / "data" / "runs"
SHIPPED = Path(__file__).parents[3] / "dashboards" / "runs"
RUNS = {
    "read": DATA / "read",
    "recv": DATA / "recv",
    "polling": DATA / "polling",
    "few-probes": DATA / "recv-few-probes",
    "faulty": SHIPPED / "faulty",
    "fixed": SHIPPED / "fixed",
    "unsteered": SHIPPED / "unsteered",
    "same-1": SHIPPED / "same" / "1",
    "same-2": SHIPPED / "same" / "2",
}


class Browser:
    """One tab."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self._folder = driver, folder

    def open(self, page: bytes, name: str = "page") -> None:
        """Show a page and wait until its charts are drawn."""
        path = self._folder / f"{name}.html"
        path.write_bytes(page)
        self.driver.get("about:blank")
        self.driver.get(path.as_uri())
        self.until("return document.documentElement.dataset.ready === '1'")

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any, wait: float = WAIT) -> None:
        """Wait until a script's value is true."""
        end = time.monotonic() + wait
        while not self.run(script, *arguments):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event at a position in the window."""
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def plot(self, chart: str) -> tuple[float, float, float, float]:
        """Position in the window of a chart's (first) plotting area, scrolled to the centre."""
        x, y, width, height = self.run(
            "const place = document.getElementById(`chart-${arguments[0]}`);"
            "place.scrollIntoView({block: 'center'});"
            "const e = place.querySelector('.nsewdrag').getBoundingClientRect(); return [e.x, e.y, e.width, e.height]",
            chart,
        )
        return float(x), float(y), float(width), float(height)

    def point(self, chart: str, across: float, down: float) -> None:
        """Move the mouse to a position in a chart, as shares of its plotting area."""
        x, y, width, height = self.plot(chart)
        self.mouse("mouseMoved", x + across * width - 3, y + down * height)
        self.mouse("mouseMoved", x + across * width, y + down * height)

    def point_anywhere(self, chart: str) -> None:
        """Move the mouse over a chart until it shows a hover text: the place of the data depends on the recording."""
        for place in range(1, 20):
            for across in (0.05, 0.3, 0.55, 0.8):
                self.point(chart, across, place / 20)
                with suppress(AssertionError):
                    self.until(
                        "return document.querySelector(`#chart-${arguments[0]} .hoverlayer .hovertext`) !== null",
                        chart,
                        wait=0.3,
                    )
                    return
        raise AssertionError(f"no hover text in {chart}")

    def drag(self, chart: str, begin: float, end: float) -> None:
        """Drag the mouse over a chart, between two shares of its width."""
        x, y, width, height = self.plot(chart)
        y += height / 2
        self.mouse("mouseMoved", x + begin * width, y)
        self.mouse("mousePressed", x + begin * width, y, button="left", buttons=1, clickCount=1)
        for step in range(1, 6):
            self.mouse("mouseMoved", x + (begin + (end - begin) * step / 5) * width, y, button="left", buttons=1)
        self.mouse("mouseReleased", x + end * width, y, button="left", clickCount=1)

    def emulate(self, *, dark: bool = False, width: int = 1440) -> None:
        """Set the preferred colour scheme and the size of the window."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def pdf(self) -> bytes:
        """The printed page."""
        printed = self.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
        return base64.b64decode(printed["data"])

    def complaints(self) -> list[str]:
        """New warnings and errors of the console: failed scripts, blocked requests."""
        return [json.dumps(entry) for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]


@pytest.fixture(scope="session")
def chromium(chromium_driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    chromium_driver.set_script_timeout(WAIT)
    return Browser(chromium_driver, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The tab, light and 1440 pixels wide; warnings of the console fail the test."""
    chromium.emulate()
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture(scope="session")
def run_named() -> Callable[[str], netprobe.Run]:
    return lambda name: netprobe.load(RUNS[name])


@pytest.fixture(scope="session")
def pages() -> Callable[..., bytes]:
    """The page of a Run by its name, or of two; each is made once."""
    made: dict[tuple[str, ...], bytes] = {}

    def page(*names: str) -> bytes:
        if names not in made:
            runs = [netprobe.load(RUNS[name]) for name in names]
            if len(runs) == 2:
                made[names] = comparison_page.render(netprobe.compare(*runs), (names[0], names[1]))
            else:
                made[names] = run_page.render(runs[0])
        return made[names]

    return page


def renamed(run: Run, names: dict[str, str]) -> Run:
    """The same Run with other names of threads, processes, devices and functions."""

    def column(values: Any) -> Any:
        if isinstance(values, np.ndarray) and values.dtype != object:
            return values
        return [names.get(value, value) if isinstance(value, str) else value for value in values]

    tables = {
        name: Table(name, {key: column(values) for key, values in run.tables[name].columns.items()})
        for name in run.tables
    }
    target = replace_fields(run.info.target, description=names["target"])
    return Run(replace_fields(run.info, target=target), tables)


@pytest.fixture(scope="session")
def rename() -> Callable[[Run, dict[str, str]], Run]:
    return renamed
