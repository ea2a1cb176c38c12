"""A part of the profile has no function names, so other findings may be missing.

## What it sees

Samples whose innermost function has no name, by the file that holds it. It is a finding from 15 % of the samples and 20
samples on. It is always a note: it costs the server nothing, but what is written there cannot be evaluated.

## Why it matters

`hot-frame` and comparisons of two Runs look at names. Without them a function that dominates is only an address.

## How to fix it

Programs and libraries: install the packages with debugging symbols (`NAME-dbgsym`, `debuginfo-install NAME`), set
DEBUGINFOD_URLS, or do not strip. Code compiled at run time: have it write a map (`node --perf-basic-prof`, Java with
perf-map-agent or `-XX:+DumpPerfMapAtExit`, Python 3.12 `-X perf`, LuaJIT and others to /tmp/perf-PID.map). The kernel:
`sysctl kernel.kptr_restrict=0`, or record as root. Stacks that end early want frame pointers
(`-fno-omit-frame-pointer`).

## Source

perf-record(1); Documentation/admin-guide/sysctl/kernel.rst (`kptr_restrict`);
tools/perf/Documentation/jit-interface.txt.
"""

from __future__ import annotations

from netprobe.rules.context import RunContext
from netprobe.rules.costs import enough_samples
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "unknown-frames"
_LEAST_PCT, _FEWEST_SAMPLES = 15.0, 20
_SHOWN = 5


def evaluate(context: RunContext) -> Result:
    """Samples without a name."""
    enough_samples(context)
    part = context.frames.unnamed()
    if part.pct < _LEAST_PCT or part.samples < _FEWEST_SAMPLES:
        return Pass(CODE, f"{part.pct:.1f} % of the samples have no name")
    shares = [(name or "memory of no file", pct) for name, pct in part.frames[:_SHOWN]]
    return Finding(
        CODE,
        Severity.NOTE,
        f"{part.pct:.0f} % of the server's time is in functions without a known name, most of it in {shares[0][0]}.",
        tuple(Evidence(f"{name}: {pct:.1f} % of the samples", pct, "%") for name, pct in shares),
        "What has no name cannot be evaluated, nor compared: a function that dominates is only an address.",
        "Install debugging symbols, do not strip the program, or have run-time compiled code write /tmp/perf-PID.map.",
        "perf-record(1); tools/perf/Documentation/jit-interface.txt",
    )
