"""A headless Chromium, and profiles with known pictures."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flamegraph.builder import Builder
from flamegraph.diff import Diff
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info, Profile, Samples, Stacks
from flamegraph.writers import WriteOptions, write, write_diff

ROW = 21
WAIT = 10.0


class Browser:
    """One tab. Positions of frames are for pages with the root on top."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver = driver
        self._folder = folder
        self._pages = 0

    def open(self, shown: Profile | Diff, address: str = "", suffix: str = ".html", **options: Any) -> Path:
        """Write a page, open it, wait until it is drawn."""
        self._pages += 1
        path = self._folder / f"{self._pages}{suffix}"
        draw_options = WriteOptions(**({"inverted": True} | options))
        (write_diff if isinstance(shown, Diff) else write)(shown, path, draw_options)
        self.load(path, address)
        return path

    def load(self, path: Path, address: str = "") -> None:
        """Load a file again."""
        self.driver.get("about:blank")
        self.driver.get(f"{path.as_uri()}{address}")
        if path.suffix == ".html":
            self.until("return document.documentElement.dataset.ready === '1'")

    def run(self, script: str, *arguments: Any) -> Any:
        """The result of a script."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> None:
        """Wait until the result of a script is true."""
        end = time.monotonic() + WAIT
        while not self.run(script, *arguments):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.01)

    def text(self, element: str) -> str:
        """The text of an element."""
        return str(self.run("return document.getElementById(arguments[0]).textContent", element))

    def until_text(self, element: str, wanted: str) -> None:
        """Wait until an element has this text."""
        self.until("return document.getElementById(arguments[0]).textContent.includes(arguments[1])", element, wanted)

    def hidden(self, element: str) -> bool:
        """Whether an element is hidden."""
        return bool(self.run("return document.getElementById(arguments[0]).getClientRects().length === 0", element))

    def focus(self, element: str = "scroll") -> None:
        """Focus an element."""
        self.run("document.getElementById(arguments[0]).focus()", element)

    def keys(self, *keys: str) -> None:
        """Press keys in the focused element."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def click(self, element: str) -> None:
        """Click an element."""
        self.driver.find_element("id", element).click()

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def place(self, part: float, level: int) -> tuple[float, float]:
        """A point of the picture: share of the width, level from the root."""
        edge = self.run(
            "const e = document.getElementById('scroll').getBoundingClientRect(); return [e.x, e.y, e.width]"
        )
        return edge[0] + part * edge[2], edge[1] + ROW * level + ROW / 2

    def point(self, part: float, level: int) -> None:
        """Move the mouse over a frame."""
        self._mouse("mouseMoved", *self.place(part, level))

    def press(self, part: float, level: int) -> None:
        """Click a frame."""
        x, y = self.place(part, level)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button="left", clickCount=1)

    def drag(self, element: str, begin: float, end: float) -> None:
        """Drag over an element, from one share of its width to another."""
        x, y, width, height = self.run(
            "const e = document.getElementById(arguments[0]).getBoundingClientRect();"
            "return [e.x, e.y, e.width, e.height]",
            element,
        )
        y += height / 2
        self._mouse("mousePressed", x + begin * width, y, button="left", clickCount=1)
        for step in range(1, 5):
            self._mouse("mouseMoved", x + (begin + (end - begin) * step / 4) * width, y, button="left", buttons=1)
        self._mouse("mouseReleased", x + end * width, y, button="left", clickCount=1)

    def color(self, part: float, level: int) -> tuple[int, ...]:
        """The colour that is painted near the lower edge of a frame, where there is no text."""
        x, y = self.place(part, level)
        return tuple(
            self.run(
                "const c = document.getElementById('graph');"
                "const e = document.getElementById('scroll').getBoundingClientRect();"
                "const r = c.width / c.clientWidth;"
                "const [x, y] = [(arguments[0] - e.x) * r, (arguments[1] - e.y + 8) * r];"
                "return [...c.getContext('2d').getImageData(x, y, 1, 1).data.slice(0, 3)]",
                x,
                y,
            )
        )

    def address(self) -> str:
        """The part after #."""
        return str(self.run("return location.hash"))

    def path(self) -> list[str]:
        """The breadcrumb."""
        return list(self.run("return [...document.querySelectorAll('#path button')].map((e) => e.textContent)"))

    def look(self, *, dark: bool = False, width: int = 1440, height: int = 900) -> None:
        """Set preferences of the system, and the window size."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def pdf(self) -> bytes:
        """The page in print."""
        printed = self.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
        return base64.b64decode(printed["data"])

    def complaints(self) -> list[str]:
        """Console messages since the last call: errors, blocked loads and scripts."""
        # Chromium's advice about reading pixels is about `color` above.
        return [
            json.dumps(entry)
            for entry in self.driver.get_log("browser")
            if entry["level"] != "INFO" and "getImageData" not in entry["message"]
        ]


@pytest.fixture(scope="session")
def chromium(chromium_driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(chromium_driver, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The tab, light and 1440 pixels wide; any console message fails the test."""
    chromium.look()
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


def _known() -> Profile:
    """alpha 60 % in the first half, beta 30 % in the second, [k] write 10 % throughout; three threads, 10 seconds."""
    builder = Builder()
    threads = [builder.thread(Thread(7, number, name)) for number, name in ((8, "reactor-0"), (9, "reactor-1"))]
    helper = builder.thread(Thread(7, 10, "helper"))
    main, alpha, beta = (builder.frame(Frame(name, "/bin/server")) for name in ("main", "alpha", "beta"))
    write_ = builder.frame(Frame("write", "[kernel]", Kind.KERNEL))
    for interval in range(10):
        name = alpha if interval < 5 else beta
        weight = 12 if interval < 5 else 6
        for thread in threads:
            builder.add(builder.stack([main, name]), thread, interval, count=weight // 2, weight=weight / 2)
        builder.add(builder.stack([main, write_]), helper, interval, count=1)
    return builder.profile(Info("cpu-clock", "samples", 10.0, 1.0, 10, 2, 1, "Known", ("One note.",)))


@pytest.fixture(scope="session")
def known() -> Profile:
    return _known()


def _large(levels: int = 14, depth: int = 26, functions: int = 4000) -> Profile:
    """Slightly more than 200,000 frames: a binary tree, with single frames above."""
    stacks = 2**levels
    stack, level = np.meshgrid(np.arange(stacks), np.arange(depth), indexing="ij")
    group = stack >> np.maximum(levels - level, 0)
    frame = (group * 2654435761 + level * 40503) % functions
    kinds = [Kind(number % 5) for number in range(functions)]
    frames = [Frame(f"part_{i % 61}::function_{i}(int)", f"/lib/part_{i % 61}.so", kinds[i]) for i in range(functions)]
    random = np.random.default_rng(11)
    rows = np.concatenate((np.arange(stacks), random.integers(0, stacks, 4 * stacks)))
    count = random.integers(1, 40, len(rows))
    samples = Samples(rows, rows % 8, random.integers(0, 50, len(rows)), count, count.astype(np.float64))
    threads = [Thread(1, 2 + number, f"reactor-{number}") for number in range(8)]
    built = Stacks(np.arange(stacks + 1) * depth, frame.reshape(-1))
    return Profile(frames, built, threads, samples, Info("cycles", "samples", 50.0, 1.0, 50, title="Large"))


@pytest.fixture(scope="session")
def large() -> Profile:
    return _large()


@pytest.fixture(scope="session")
def page_of() -> Callable[..., str]:
    """The page as text."""
    from flamegraph.writers import html

    return lambda profile, **options: html.render(profile, WriteOptions(**options)).decode()
