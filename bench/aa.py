"""Does `netprobe diff` report no change of equal Runs, and known changes first? On real recordings.

python bench/aa.py record FOLDER    records nginx and the lab server in every configuration, about 15 minutes
python bench/aa.py compare FOLDER   compares every pair, and prints the reported changes

Each Run has a newly started server, so that the variation between starts is included.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import LabServer, ServerOptions

_COMMAND = Path(sys.executable).with_name("netprobe")
_WARM_S = 1.0
# A duty-cycled recording is longer by this factor, so that it counts enough events.
_LIGHT_FACTOR = 3
_MIN_UNCHANGED = 0.99
# Each connection waits between two requests, so that the number of connections sets the load.
_PAUSE = "function delay() return 3 end\n"


@dataclass(frozen=True)
class Scenario:
    """A server, its load, and the length of the recording; `lab` None: nginx."""

    name: str
    runs: int
    lab: ServerOptions | None = None
    seconds: int = 4
    connections: int = 16
    paced: bool = False


_PINNED = ServerOptions(threads=1, cpus=(0,))
_QUOTA = replace(_PINNED, quota_timer_us=10_000)
SCENARIOS = (
    Scenario("nginx", 16),
    Scenario("lab", 16, _PINNED),
    Scenario("lab-read", 4, replace(_PINNED, receive="read")),
    Scenario("lab-zero", 4, replace(_PINNED, epoll_timeout_us=0)),
    Scenario("lab-100us", 4, replace(_PINNED, epoll_timeout_us=100)),
    Scenario("lab-quota-500us", 4, replace(_PINNED, quota_timer_us=500)),
    Scenario("lab-quota-10ms", 4, _QUOTA),
    Scenario("nginx-paced-20", 8, connections=20, paced=True),
    Scenario("nginx-paced-24", 8, connections=24, paced=True),
    Scenario("lab-paced-20", 8, _PINNED, connections=20, paced=True),
    Scenario("lab-paced-24", 8, _PINNED, connections=24, paced=True),
    Scenario("nginx-long", 6, seconds=8),
    Scenario("lab-long", 6, _PINNED, seconds=8),
)


# ---- Recording ----


@contextmanager
def _serving(lab: ServerOptions | None) -> Iterator[tuple[int, str]]:
    if lab is None:
        with Nginx(NginxOptions()) as nginx:
            yield nginx.pid, nginx.url
        return
    with LabServer(lab) as server:
        yield server.pid, f"http://{server.address}:{server.port}/"


@contextmanager
def loaded(lab: ServerOptions | None, seconds: int, connections: int = 16, script: Path | None = None) -> Iterator[int]:
    """A server (None: nginx) under load for at least these seconds; yields its process ID."""
    with _serving(lab) as (pid, url):
        options = ["-s", str(script)] if script else []
        cpus = "1" if lab else "0-1"
        wrk = ["taskset", "-c", cpus, "wrk", "-t1", f"-c{connections}", f"-d{seconds + 6}s", *options]
        load = subprocess.Popen([*wrk, url], stdout=subprocess.DEVNULL)
        try:
            time.sleep(_WARM_S)
            yield pid
        finally:
            load.kill()
            load.wait()


def _record_one(scenario: Scenario, path: Path, pause: Path, light: bool) -> None:
    seconds = scenario.seconds * (_LIGHT_FACTOR if light else 1)
    script = pause if scenario.paced else None
    with (
        loaded(scenario.lab, seconds, scenario.connections, script) as pid,
        open(path.with_suffix(".log"), "wb") as log,
    ):
        command = [_COMMAND, "record", "-p", str(pid), "-d", str(seconds), "-o", str(path), *["--light"] * light]
        subprocess.run([*map(str, command)], stdout=log, stderr=log, timeout=60, check=False)


def record(folder: Path, light: bool = False) -> None:
    """Record the Runs of all scenarios in rounds of one each, so that slow changes of the machine affect all."""
    folder.mkdir(parents=True, exist_ok=True)
    pause = folder / "pause.lua"
    pause.write_text(_PAUSE)
    for number in range(1, max(scenario.runs for scenario in SCENARIOS) + 1):
        for scenario in SCENARIOS:
            path = folder / scenario.name / str(number)
            if number <= scenario.runs and not path.exists():
                path.parent.mkdir(exist_ok=True)
                _record_one(scenario, path, pause, light)
                print(path, "ok" if path.exists() else "FAILED", flush=True)


# ---- Comparing ----


@dataclass(frozen=True)
class Family:
    """Pairs of Runs of one configuration (`first`) or of two (`first`, `second`); `same`: without a change."""

    name: str
    first: str
    second: str
    same: bool = True
    expected: tuple[str, ...] = ()
    """The change that is ranked first contains one of these."""


_EPOLL = ("epoll_pwait", "epoll waits")
_TIMERS = ("timer", "read", "timerfd")
FAMILIES = (
    *(Family(f"A/A {one.name}", one.name, one.name) for one in SCENARIOS),
    Family("A/A nginx, twice as long", "nginx", "nginx-long"),
    Family("A/A lab, twice as long", "lab", "lab-long"),
    Family("A/A nginx, 20 % more load", "nginx-paced-20", "nginx-paced-24"),
    Family("A/A lab, 20 % more load", "lab-paced-20", "lab-paced-24"),
    Family("A/B recv and read", "lab", "lab-read", False, ("read", "recvfrom")),
    Family("A/B timeout 0 and 100 us", "lab-zero", "lab-100us", False, _EPOLL),
    Family("A/B infinite and zero timeout", "lab", "lab-zero", False, _EPOLL),
    Family("A/B quota timer 10 ms and 500 us", "lab-quota-10ms", "lab-quota-500us", False, _TIMERS),
    Family("A/B no quota timer and 500 us", "lab", "lab-quota-500us", False, _TIMERS),
)


def compare(folder: Path) -> bool:
    """Compare all pairs; whether 99 of 100 equal pairs have no change, and known changes are ranked first."""
    from netprobe import load
    from netprobe.analysis.compare.comparison import compare_sides, sides_of

    runs = {path: load(path) for path in sorted(folder.glob("*/*")) if path.is_dir()}
    by_scenario = {one.name: [run for path, run in runs.items() if path.parent.name == one.name] for one in SCENARIOS}
    print(f"{'pairs of Runs':36} {'pairs':>6} {'with a change':>14} {'right first':>12}  ranked first")
    pairs_same = unchanged = 0
    correct = True
    for family in FAMILIES:
        first, second = by_scenario[family.first], by_scenario[family.second]
        pairs = itertools.product(first, second)
        if family.first == family.second:
            pairs = itertools.combinations(first, 2)
        found: list[str] = []
        count = 0
        for before, after in pairs:
            changed = compare_sides(*sides_of(before, after)).changed
            count += 1
            found += [f"{changed[0].name} {changed[0].verdict}"] if changed else []
        right = sum(any(word in name for word in family.expected) for name in found)
        if family.same:
            pairs_same, unchanged = pairs_same + count, unchanged + count - len(found)
        else:
            correct &= right == count
        names = ", ".join(f"{name} ({number})" for name, number in Counter(found).most_common(4))
        print(f"{family.name:36} {count:6} {len(found):14} {'' if family.same else right:>12}  {names}", flush=True)
    print(f"No change in {unchanged} of {pairs_same} pairs of equal Runs.")
    return correct and unchanged >= _MIN_UNCHANGED * pairs_same


if __name__ == "__main__":
    commands: dict[str, Callable[[Path], object]] = {"record": record, "compare": compare}
    commands[sys.argv[1]](Path(sys.argv[2]))
