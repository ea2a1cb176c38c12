"""`make truth`: accuracy of the findings on labelled cases, and of comparisons on equal Runs and on known differences.

python bench/truth.py [cases] [servers] [series] [halves] [--times N] [--folder out/truth] [--only TEXT] [--light]

cases: the lab server with each configurable fault, alone and in pairs, N times each; recall, false alarms and confusion
by code. servers: stock servers and small ones in four languages, with one fault each (bench/truth_servers.py).
series: recordings of equal and of different servers, with a comparison of each pair (bench/aa.py). halves:
comparisons of parts of perf recordings (bench/halves.py). All of it takes an hour and a quarter. --light: cases and
series with duty-cycled recordings (`record --light`), which are longer. Exit status 1 if a limit is not met.
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
import truth_servers

from netprobe.lab.cases import CASES, Case, running

_COMMAND = Path(sys.executable).with_name("netprobe")
_OPTIONS = ("-d", 2, "-F", 499)
_LIGHT_OPTIONS = ("--light", "-d", 10)
_WARM_UP_S = 0.5
# A fault is detected if it is among this number of first findings.
_FIRST = 2
_PARTS = ["cases", "servers", "series", "halves"]
_SERVER_SECONDS = 3


@dataclass(frozen=True)
class Outcome:
    """The results of the rules for a case. `codes` and `summaries`: of the findings, in their order."""

    case: Case
    codes: tuple[str, ...]
    summaries: tuple[str, ...]
    inconclusive: tuple[str, ...]

    @property
    def missed(self) -> set[str]:
        """Faults that are not among the first findings."""
        return set(self.case.codes) - set(self.codes[:_FIRST])

    @property
    def false(self) -> list[str]:
        """Findings that are no fault of the case."""
        return [code for code in self.codes if code not in self.case.codes | self.case.also]


def record(case: Case, light: bool) -> Outcome:
    """Start a case and record it once."""
    memory = Path("/dev/shm")
    with running(case) as pid, tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        time.sleep(_WARM_UP_S)
        options = ["-p", pid, *(_LIGHT_OPTIONS if light else _OPTIONS), "--json", "-o", Path(folder, "run")]
        command = [*map(str, [_COMMAND, "record", *options])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr}")
    document = json.loads(done.stdout)
    codes, summaries = (
        tuple(finding[field] for finding in document["findings"]) for field in ("code", "summary")
    )  # fmt: skip
    return Outcome(case, codes, summaries, tuple(result["code"] for result in document["inconclusive"]))


def cases(times: int, only: str, light: bool) -> list[Outcome]:
    """All cases in turn, this number of times; prints one line per recording."""
    # With two CPUs, other tasks on the machine would be reported as a fault.
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    chosen = [case for case in CASES if only in case.name]
    outcomes = []
    for _ in range(times):
        for case in chosen:
            outcome = record(case, light)
            outcomes.append(outcome)
            wrong = "MISSED " * bool(outcome.missed) + "FALSE " * bool(outcome.false)
            print(f"  {case.name:66} {wrong}{', '.join(outcome.codes) or 'no finding'}", flush=True)
            for code, summary in zip(outcome.codes, outcome.summaries, strict=True):
                if code in outcome.false:
                    print(f"    {summary}")
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    return outcomes


def table(outcomes: list[Outcome]) -> bool:
    """Print recall, false alarms and confusion by code; return whether the limits are met."""
    faults: Counter[str] = Counter(code for outcome in outcomes for code in outcome.case.codes)
    detected: Counter[str] = Counter(
        code for outcome in outcomes for code in set(outcome.case.codes) - outcome.missed
    )  # fmt: skip
    alarms: Counter[str] = Counter(code for outcome in outcomes for code in outcome.false)
    instead: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        for code in outcome.missed:
            instead[code].update(outcome.codes or ("no finding",))
    print(f"\n{'finding':28} {'cases':>6} {'found':>6} {'recall':>7} {'false':>6}  reported instead")
    for code in sorted(faults | alarms):
        recall = f"{100 * detected[code] / faults[code]:.0f} %" if faults[code] else "-"
        confusion = ", ".join(f"{name} ({count})" for name, count in instead[code].most_common(3))
        print(f"{code:28} {faults[code]:6} {detected[code]:6} {recall:>7} {alarms[code]:6}  {confusion}")
    healthy = [outcome for outcome in outcomes if not outcome.case.codes]
    without_finding = sum(not outcome.codes for outcome in healthy)
    print(
        f"{len(outcomes)} recordings of {len({outcome.case.name for outcome in outcomes})} cases: {detected.total()} "
        f"of {faults.total()} faults are the first or second finding, {alarms.total()} false alarms; no finding on "
        f"{without_finding} of {len(healthy)} configurations without a fault."
    )
    return detected == faults and without_finding == len(healthy) and not alarms


def main() -> None:
    """Run the parts that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], default=_PARTS)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("out/truth"))
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this text in their name")
    parser.add_argument("--light", action="store_true", help="duty-cycled recordings")
    arguments = parser.parse_args()
    met = True
    if "cases" in arguments.parts:
        print("== Labelled cases")
        met &= table(cases(arguments.times, arguments.only, arguments.light))
    if "servers" in arguments.parts:
        print("\n== Stock servers, and small servers with one fault each")
        only = [arguments.only] if arguments.only else []
        met &= truth_servers.table(truth_servers.run(only, arguments.times, _SERVER_SECONDS))
    if "series" in arguments.parts:
        print("\n== Equal Runs, and Runs with one known difference")
        aa.record(arguments.folder, arguments.light)
        met &= aa.compare(arguments.folder)
    if "halves" in arguments.parts:
        print("\n== Parts of perf recordings")
        halves.record(arguments.folder / "perf")
        met &= halves.compare(arguments.folder / "perf")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
