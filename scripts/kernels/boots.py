"""The boots of each kernel, and their outcomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Boot:
    """A name, the tests that run inside, and the parameters of the kernel."""

    name: str
    tests: tuple[str, ...]
    parameters: str = ""


# Tests of tests/kernel that assert exact counts; a selection, as each takes about ten seconds there.
CHECKOUT = (
    "tests/kernel/test_following.py",
    "tests/kernel/test_waits.py",
    *(
        f"tests/kernel/test_syscalls.py::test_{name}"
        for name in (
            "threads_are_counted_exactly", "by_process_and_by_call", "failed_calls", "latency",
            "32_bit_calls_have_their_own_names", "new_and_invalid_numbers_have_the_right_names", "two_processes",
            "whole_machine",
        )
    ),
)  # fmt: skip
BOOTS = (
    Boot("default", ("tests/vm/default",)),
    Boot("unmitigated", ("tests/vm/unmitigated",), "mitigations=off lockdown=integrity"),
    Boot("checkout", CHECKOUT),
)
_CONSOLE_LINES, _OUTPUT_LINES = 60, 200


@dataclass
class Outcome:
    """The outcome of a boot."""

    series: str
    release: str
    boot: Boot
    console: Path
    output: Path
    results: Path
    seconds: float = 0.0
    ended: str = ""
    """Why the machine was ended before its tests were; empty otherwise."""
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """`6.1.0-56-amd64 (default)`"""
        return f"{self.release} ({self.boot.name})"

    def read(self) -> None:
        """Read the records that the tests wrote, one per line; the last may be truncated."""
        try:
            lines = self.results.read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                self.records.append(json.loads(line))
            except ValueError:
                self.ended = self.ended or "the results are truncated"

    @property
    def tests(self) -> list[dict[str, Any]]:
        """Records of tests."""
        return [record for record in self.records if "test" in record]

    @property
    def passed(self) -> bool:
        """Whether all tests ran and none failed."""
        status = [record["status"] for record in self.records if "status" in record]
        return status == [0] and not self.ended and bool(self.tests)

    def summary(self) -> str:
        """A line for the terminal."""
        counts = {word: sum(test["outcome"] == word for test in self.tests) for word in ("passed", "failed", "skipped")}
        results = ", ".join(f"{count} {result}" for result, count in counts.items() if count) or "no test ran"
        return f"{self.title}: {results}, {self.seconds:.0f} s{f'; {self.ended}' if self.ended else ''}"

    def failure(self) -> str:
        """The end of the console and of the output of the tests."""
        return "\n".join(
            [
                f"==== {self.title} failed: {self.ended or 'see the tests'}",
                f"---- console, its last lines ({self.console})",
                _tail(self.console, _CONSOLE_LINES),
                f"---- tests ({self.output})",
                _tail(self.output, _OUTPUT_LINES),
            ]
        )


def _tail(path: Path, lines: int) -> str:
    try:
        shown = path.read_text(errors="replace").replace("\r", "").splitlines()
        # The emulator warns about missing features at each boot, once per CPU.
        shown = [line for line in shown if not line.startswith("qemu-system-x86_64: warning: TCG")]
        return "\n".join(shown[-lines:])
    except OSError as error:
        return f"({error})"
