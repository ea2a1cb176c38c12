"""`make truth`: is what netprobe says true? Labelled cases, equal Runs, and Runs that differ in one known thing.

python bench/truth.py [cases] [series] [halves] [--times N] [--folder out/truth] [--only WORD] [--light]

cases: the lab server with every fault that it can be given, alone and in pairs, N times each; recall, false alarms
and confusion by code. series: recordings of equal and of differing servers, every pair compared (bench/aa.py).
halves: pieces of recordings by perf compared with each other (bench/halves.py). Three quarters of an hour for
all. --light: the cases and the series as `record --light` sees them, in longer recordings. Ends with status 1 where a
bar is dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import aa
import halves

from netprobe.lab.cases import CASES, Case, running

_COMMAND = Path(sys.executable).with_name("netprobe")
_OPTIONS = ("-d", 2, "-F", 499)
_LIGHT_OPTIONS = ("--light", "-d", 10)
_WARM_S = 0.5
# Among the first so many findings.
_FIRST = 2
_PARTS = ["cases", "series", "halves"]


@dataclass(frozen=True)
class Outcome:
    """What was said of a case; `codes` best first, with their summaries."""

    case: Case
    codes: tuple[str, ...]
    summaries: tuple[str, ...]
    inconclusive: tuple[str, ...]

    @property
    def dropped(self) -> set[str]:
        """Faults that were not among the first findings."""
        return set(self.case.codes) - set(self.codes[:_FIRST])

    @property
    def false(self) -> list[str]:
        """Findings that are none of the case's."""
        return [code for code in self.codes if code not in self.case.codes | self.case.also]


def record(case: Case, light: bool) -> Outcome:
    """One recording of a case that was brought up for it."""
    memory = Path("/dev/shm")
    with running(case) as pid, tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        time.sleep(_WARM_S)
        options = ["-p", pid, *(_LIGHT_OPTIONS if light else _OPTIONS), "--json", "-o", Path(folder, "run")]
        command = [*map(str, [_COMMAND, "record", *options])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr}")
    said = json.loads(done.stdout)
    found = said["findings"]
    codes, summaries = (tuple(one[part] for one in found) for part in ("code", "summary"))
    return Outcome(case, codes, summaries, tuple(one["code"] for one in said["inconclusive"]))


def cases(times: int, only: str, light: bool) -> list[Outcome]:
    """All cases in turn, so many times; a line each."""
    # Two CPUs are few: what else runs on the machine must not be taken for a fault.
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    chosen = [case for case in CASES if only in case.name]
    outcomes = []
    for _ in range(times):
        for case in chosen:
            outcomes.append(record(case, light))
            one = outcomes[-1]
            wrong = "DROPPED " * bool(one.dropped) + "FALSE " * bool(one.false)
            print(f"  {case.name:66} {wrong}{', '.join(one.codes) or 'nothing'}", flush=True)
            for code, claim in zip(one.codes, one.summaries, strict=True):
                if code in one.false:
                    print(f"    {claim}")
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    return outcomes


def table(outcomes: list[Outcome]) -> bool:
    """Print recall, false alarms and confusion by code; whether the bars hold."""
    there: Counter[str] = Counter(code for one in outcomes for code in one.case.codes)
    named: Counter[str] = Counter(code for one in outcomes for code in set(one.case.codes) - one.dropped)
    alarms: Counter[str] = Counter(code for one in outcomes for code in one.false)
    instead: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        for code in one.dropped:
            instead[code].update(one.codes or ("nothing",))
    print(f"\n{'finding':28} {'there':>6} {'named':>6} {'recall':>7} {'false':>6}  said where it was dropped")
    for code in sorted(there | alarms):
        recall = f"{100 * named[code] / there[code]:.0f} %" if there[code] else "-"
        words = ", ".join(f"{name} ({count})" for name, count in instead[code].most_common(3))
        print(f"{code:28} {there[code]:6} {named[code]:6} {recall:>7} {alarms[code]:6}  {words}")
    right = [one for one in outcomes if not one.case.codes]
    silent = sum(not one.codes for one in right)
    print(
        f"{len(outcomes)} recordings of {len({one.case.name for one in outcomes})} cases: {named.total()} of "
        f"{there.total()} faults named as the first or second finding, {alarms.total()} false alarms; "
        f"no finding on {silent} of {len(right)} right configurations."
    )
    return named == there and silent == len(right) and not alarms


def main() -> None:
    """The parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], default=_PARTS)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("out/truth"))
    parser.add_argument("--only", default="", metavar="WORD", help="only cases with this in their name")
    parser.add_argument("--light", action="store_true")
    arguments = parser.parse_args()
    held = True
    if "cases" in arguments.parts:
        print("== Labelled cases")
        held &= table(cases(arguments.times, arguments.only, arguments.light))
    if "series" in arguments.parts:
        print("\n== Equal Runs, and Runs that differ in one thing")
        aa.record(arguments.folder, arguments.light)
        held &= aa.compare(arguments.folder)
    if "halves" in arguments.parts:
        print("\n== Pieces of recordings by perf")
        halves.record(arguments.folder / "perf")
        held &= halves.compare(arguments.folder / "perf")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
