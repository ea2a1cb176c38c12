"""Boots stock Debian kernels in virtual machines, runs tests/vm inside, and writes docs/kernels.md.

    scripts/test-kernels [--kernel 6.1|6.12]... [--boot NAME]... [--jobs N] [PYTEST OPTIONS]

Everything that it needs and makes is below out/kernels: kernels, the disk image, consoles, results.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from boots import BOOTS, Boot, Outcome
from debian import SERIES, Kernel, KernelError, provide
from document import write
from image import build_image
from machine import INTERRUPTED, Machine

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "out" / "kernels"
ATTEMPTS = 2


def main() -> int:
    """Exit status 0 if every test passed on every kernel."""
    options = _arguments()
    began = time.monotonic()
    try:
        kernels = [provide(series, FOLDER) for series in options.kernel or SERIES]
        image = build_image(ROOT, FOLDER)
    except KernelError as error:
        print(f"test-kernels: {error}", file=sys.stderr)
        return 2
    say(f"kernels {', '.join(kernel.release for kernel in kernels)}, {time.monotonic() - began:.0f} s to prepare")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: INTERRUPTED.set())
    boots = [boot for boot in BOOTS if boot.name in (options.boot or [boot.name])]
    with ThreadPoolExecutor(options.jobs) as pool:
        parts = list(pool.map(lambda kernel: _run_kernel(kernel, boots, image, options.pytest), kernels))
    outcomes = [outcome for part in parts for outcome in part]
    if INTERRUPTED.is_set():
        say("interrupted")
        return 130
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        print(outcome.failure(), file=sys.stderr)
    seconds = time.monotonic() - began
    if failed:
        say(f"FAILED: {', '.join(outcome.title for outcome in failed)}, in {seconds / 60:.1f} minutes")
        return 1
    say(f"passed on {', '.join(kernel.release for kernel in kernels)} in {seconds / 60:.1f} minutes")
    whole = not (options.kernel or options.boot or options.pytest)
    if whole:
        document = FOLDER / "kernels.md" if os.environ.get("CI") else ROOT / "docs" / "kernels.md"
        write(outcomes, seconds, document)
        say(f"wrote {document.relative_to(ROOT)}")
    return 0


def say(words: str) -> None:
    """A line of progress."""
    print(f"test-kernels: {words}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/test-kernels", description=__doc__, add_help=True)
    parser.add_argument("--kernel", action="append", choices=list(SERIES), help="only this series; may be given again")
    parser.add_argument("--boot", action="append", choices=[boot.name for boot in BOOTS], help="only this boot")
    parser.add_argument("--jobs", type=int, default=max(1, min(len(SERIES), os.cpu_count() or 1)), help="at once")
    known, rest = parser.parse_known_args()
    known.pytest = rest
    return known


def _run_kernel(kernel: Kernel, boots: list[Boot], image: Path, pytest: list[str]) -> list[Outcome]:
    outcomes = []
    for boot in boots:
        if INTERRUPTED.is_set():
            break
        outcomes.append(_run_boot(kernel, boot, image, pytest))
    return outcomes


def _run_boot(kernel: Kernel, boot: Boot, image: Path, pytest: list[str]) -> Outcome:
    """Like the tests of the machine itself, these are repeated before they fail; each failure is shown."""
    for attempt in range(1, ATTEMPTS + 1):
        machine = Machine(kernel, boot, image, ROOT, FOLDER)
        say(f"{machine.title}: boots" + (f", attempt {attempt}" if attempt > 1 else ""))
        outcome = machine.run(pytest)
        say(outcome.summary())
        if outcome.passed or INTERRUPTED.is_set() or attempt == ATTEMPTS:
            break
        print(outcome.failure(), file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
