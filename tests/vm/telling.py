"""A plugin for pytest in a virtual machine: reports each test to the host as it ends, as a line of JSON."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

_RESULTS = Path(os.environ["NETPROBE_VM_RESULTS"])


def _tell(**record: Any) -> None:
    with _RESULTS.open("a") as file:
        file.write(json.dumps(record) + "\n")


def pytest_sessionstart() -> None:
    lockdown = Path("/sys/kernel/security/lockdown")
    _tell(
        kernel=platform.release(),
        cpus=os.cpu_count(),
        lockdown=lockdown.read_text().strip() if lockdown.exists() else "",
        boot_seconds=float(Path("/proc/uptime").read_text().split()[0]),
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        reason = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
        _tell(
            test=report.nodeid,
            outcome=report.outcome,
            seconds=report.duration,
            reason=reason,
            failure=report.longreprtext if report.failed else "",
            results=[value for name, value in report.user_properties if name == "result"],
        )


def pytest_sessionfinish(exitstatus: int) -> None:
    _tell(status=int(exitstatus))
