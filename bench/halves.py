"""Does `netprobe flame --diff` report no change between parts of one perf recording, and the change of another server?

Part of `make truth`. perf records nginx and the lab server under load. Every recording is divided into quarters and
halves by the times of its samples, and parts of the same recording are compared.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import aa

from netprobe.lab.server import ServerOptions

_COMMAND = Path(sys.executable).with_name("netprobe")
_RECORDINGS, _SECONDS, _FREQUENCY = 8, 8, 997
_LAB = ServerOptions(threads=1, cpus=(0,))
_SERVERS: dict[str, ServerOptions | None] = {"nginx": None, "lab": _LAB, "lab-read": replace(_LAB, receive="read")}
_HALVES = ("0-4", "4-8")
_QUARTERS = ("0-2", "2-4", "4-6", "6-8")
# Between recv and read, the function that is ranked first contains one of these.
_CHANGED = ("read", "recv")
_CHANGED_VERDICTS = {"grown", "shrunk", "new", "gone"}
_MIN_UNCHANGED = 0.99


def _record_one(lab: ServerOptions | None, path: Path) -> None:
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_FREQUENCY), "-g", "-o", str(path)]
    with aa.loaded(lab, _SECONDS) as pid:
        # perf does not follow existing children, such as the workers of nginx.
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids = ",".join([str(pid), *workers])
        subprocess.run([*command, "-p", pids, "--", "sleep", str(_SECONDS)], check=True, capture_output=True)


def record(folder: Path) -> None:
    """Record all servers in rounds of one recording each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, _RECORDINGS + 1):
        for name, lab in _SERVERS.items():
            path = folder / f"{name}-{number}.data"
            if not path.exists():
                _record_one(lab, path)
                print(path, "ok", flush=True)


def _changes(before: tuple[Path, str], after: tuple[Path, str]) -> list[str]:
    """Functions with a change, in the order of the output."""
    times = [word for _, span in (before, after) for word in ("--time", span)]
    command = [_COMMAND, "flame", "--diff", "--json", "-T", "0", *times, before[0], after[0]]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    functions = json.loads(done.stdout)["functions"]
    return [
        f"{row['name']} {row['verdict']}"
        for row in functions
        if {row["verdict"], row["self_verdict"]} & _CHANGED_VERDICTS
    ]


def compare(folder: Path) -> bool:
    """Whether 99 of 100 pairs of parts of one recording have no change, and recv and read are distinguished in all."""
    recordings = {name: [folder / f"{name}-{number}.data" for number in range(1, _RECORDINGS + 1)] for name in _SERVERS}
    print(f"{'pairs of parts':36} {'pairs':>6} {'with a change':>14} {'right first':>12}  ranked first")
    pairs = unchanged = 0
    for name, paths in recordings.items():
        for parts, spans in (("halves", _HALVES), ("quarters", _QUARTERS)):
            tried = [_changes((path, a), (path, b)) for path in paths for a, b in itertools.combinations(spans, 2)]
            pairs, unchanged = pairs + len(tried), unchanged + tried.count([])
            _line(f"A/A {name}, {parts}", [found[0] for found in tried if found], len(tried), "")
    tried = [
        _changes((before, _HALVES[0]), (after, _HALVES[1]))
        for before, after in itertools.product(recordings["lab"], recordings["lab-read"])
    ]
    first = [found[0] for found in tried if found]
    right = sum(any(word in name for word in _CHANGED) for name in first)
    _line("A/B recv and read, a half of each", first, len(tried), str(right))
    print(f"No change in {unchanged} of {pairs} pairs of parts of one recording.")
    return right == len(tried) and unchanged >= _MIN_UNCHANGED * pairs


def _line(title: str, first: list[str], pairs: int, right: str) -> None:
    names = ", ".join(f"{name} ({number})" for name, number in Counter(first).most_common(4))
    print(f"{title:36} {pairs:6} {len(first):14} {right:>12}  {names}", flush=True)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    compare(Path(sys.argv[1]))
