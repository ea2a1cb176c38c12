"""A part of the profile is unsymbolized, so other findings may be missing.

## Detection

Input: samples whose innermost function has no symbol, by file. A finding is reported from 15 % of the samples and 20
samples on. It is always a note: missing symbols cost the server nothing, but the samples cannot be evaluated.

## Why it matters

`hot-frame` and comparisons of two Runs use names of functions; without symbols a dominant function is only an address.

## Fix

Install debugging symbols, do not strip the program, or let code that is compiled at run time write /tmp/perf-PID.map.

Programs and libraries: install the packages with debugging symbols (`NAME-dbgsym`, `debuginfo-install NAME`) or set
DEBUGINFOD_URLS. Code compiled at run time: `node --perf-basic-prof`, Java with perf-map-agent or
`-XX:+DumpPerfMapAtExit`, Python 3.12 `-X perf`; LuaJIT and others write /tmp/perf-PID.map. The kernel: `sysctl
kernel.kptr_restrict=0`, or record as root. Stacks that end early need frame pointers (`-fno-omit-frame-pointer`).

## Source

perf-record(1); Documentation/admin-guide/sysctl/kernel.rst (`kptr_restrict`);
tools/perf/Documentation/jit-interface.txt.
"""

from __future__ import annotations

from netprobe.rules.context import RunContext
from netprobe.rules.costs import require_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "unknown-frames"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_SAMPLES = 15.0, 20
_SHOWN = 5


def evaluate(context: RunContext) -> Result:
    """Samples whose innermost function has no symbol."""
    require_samples(context)
    share = context.frames.unsymbolized()
    if share.pct < _MIN_PCT or share.samples < _MIN_SAMPLES:
        return Pass(CODE, f"{share.pct:.1f} % of the samples are unsymbolized")
    modules = [(module or "memory without a file", pct) for module, pct in share.frames[:_SHOWN]]
    return Finding(
        CODE,
        Severity.NOTE,
        f"{share.pct:.0f} % of the server's time is in functions without a symbol, most of it in {modules[0][0]}.",
        tuple(Evidence(f"{module}: {pct:.1f} % of the samples", pct, "%") for module, pct in modules),
        DOCUMENTATION,
    )
