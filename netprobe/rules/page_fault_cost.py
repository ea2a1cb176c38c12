"""Serving threads spend much of their time in page faults.

## Detection

Input: samples of the serving threads by mode. A finding is reported if at least 5 % of at least 100 samples, and the
lower limit of the 95 % confidence interval is at least 3 %, are in page faults.

The cost is the share of their running time in page faults.

## Why it matters

Memory that is returned to the kernel and requested again costs a fault, a zeroed page and a lock per page.

Each fault takes 0.5 µs to several microseconds, more with several threads in one address space.

## Fix

Keep memory instead of returning it: reuse buffers, and raise the allocator's trim and mmap thresholds.

glibc: `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` (or mallopt(3)); jemalloc: `dirty_decay_ms`. mmap() and
munmap() per request: use a pool. Large heaps: transparent huge pages with `madvise`. After a fork, copy-on-write faults
come with the first writes.

## Source

mallopt(3), madvise(2); Documentation/admin-guide/mm/transhuge.rst; `asm_exc_page_fault` in arch/x86/entry.
"""

from __future__ import annotations

from collections import Counter

from netprobe.analysis.confidence import wilson_pct
from netprobe.rules.context import RunContext
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "page-fault-cost"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_LOW_PCT, _MIN_SAMPLES = 5.0, 3.0, 100


def evaluate(context: RunContext) -> Result:
    """Samples in page faults."""
    threads = context.serving_time.threads
    modes: Counter[str] = sum((row.modes for row in threads), Counter())
    samples, faults = modes.total(), modes["page_fault"]
    if samples < _MIN_SAMPLES:
        return Inconclusive(
            CODE,
            f"needs {_MIN_SAMPLES} samples of the serving threads and has {samples}: put the server under load, record "
            "for longer (-d) or sample more often (-F)",
        )
    share = wilson_pct(faults, samples)
    if share.value < _MIN_PCT or (share.low or 0.0) < _MIN_LOW_PCT:
        return Pass(CODE, f"{share.value:.1f} % of the running time is in page faults")
    calls = {row.syscall: row.calls for row in context.calls}
    names = [name for name in ("mmap", "munmap", "madvise", "brk") if calls.get(name)]
    memory = [f"{name} {context.rate_text(calls[name])}" for name in names]
    return Finding(
        CODE,
        Severity.of(share.value),
        f"The serving threads spend {share.value:.0f} % of their running time in page faults.",
        (
            Evidence(
                f"{faults} of {samples} samples: {share.low:.1f} to {share.high:.1f} % with 95 % confidence",
                share.value,
                "%",
            ),
            Evidence(f"calls that change the address space: {', '.join(memory) or 'none'}"),
        ),
        DOCUMENTATION,
        cost_pct=share.value,
    )
