"""Fixtures for the command line and a browser; the conditions of kernel tests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from netprobe.engine.privileges import require_tracing
from netprobe.errors import NetprobeError

COMMAND = Path(sys.executable).with_name("netprobe")
# Factor by which this machine is slower than a real one; tests/vm/inside.sh sets it in an emulator.
PATIENCE = float(os.environ.get("NETPROBE_TEST_PATIENCE", "1"))


@dataclass(frozen=True)
class Outcome:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Standard output as one JSON document."""
        assert self.status == 0, self.err
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def refused(self) -> str:
        """The message of a command with exit status 2, which has no other output and no traceback."""
        assert self.status == 2, (self.status, self.out, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        return self.err


def _run(*arguments: str | bytes | Path | float, timeout: float = 60) -> Outcome:
    command = [COMMAND, *(str(one) if isinstance(one, int | float) else one for one in arguments)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout * PATIENCE, check=False
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="session")
def netprobe() -> Callable[..., Outcome]:
    """Run `netprobe` and wait for it."""
    return _run


@pytest.fixture(scope="session")
def patience() -> float:
    """Factor for timeouts that are sufficient on a real machine."""
    return PATIENCE


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Directory of the sources."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def outcome() -> type[Outcome]:
    """For tests that start commands themselves."""
    return Outcome


@pytest.fixture(scope="session")
def chromium_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Chromium for all tests of pages, driven by Selenium; it logs the messages of the console."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        reason = "chromium and chromedriver are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, but {reason}", pytrace=False)
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    profile = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield chromium
    chromium.quit()


def _no_kernel() -> str:
    """The reason why kernel tests cannot run on this machine; empty if they can."""
    try:
        require_tracing()
    except NetprobeError as error:
        return error.message
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests whose outcome depends on timing are rerun before they fail; each is marked with the reason."""
    for item in items:
        if (timing := item.get_closest_marker("timing")) is not None:
            assert len(timing.args) == 1, f"{item.nodeid}: timing takes the reason why the outcome depends on timing"
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Kernel tests are skipped if they cannot run, or fail if NETPROBE_REQUIRE_KERNEL is set."""
    if item.get_closest_marker("kernel") is None or not (reason := _no_kernel()):
        return
    if os.environ.get("NETPROBE_REQUIRE_KERNEL") == "1":
        pytest.fail(f"NETPROBE_REQUIRE_KERNEL=1, but: {reason}", pytrace=False)
    pytest.skip(reason)
