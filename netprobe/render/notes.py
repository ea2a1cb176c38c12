"""Lines above and below every table: target and length, missing data, netprobe's own cost."""

from __future__ import annotations

from netprobe.render.safe import printable
from netprobe.run.model import Run

_STOPPED_BY = {
    "duration": "",
    "target exited": " (stopped when the target exited)",
    "command exited": " (stopped when the command exited)",
}
# CPU time of the probes in percent of one CPU, above which --light is recommended. The kernel's overhead of calling
# the probes is not included.
_EXPENSIVE_PCT = 3.0


def heading(run: Run) -> str:
    """One line: target, threads, length, and the reason for a recording that is shorter than specified."""
    target, recording = run.info.target, run.info.recording
    whole_machine = not (target.pids or target.comm or target.command)
    threads = f"{target.threads} thread{'' if target.threads == 1 else 's'} {'active' if whole_machine else 'seen'}"
    reason = _STOPPED_BY.get(recording.stopped_by or "", f" (stopped by {recording.stopped_by})")
    return f"{printable(target.description)}, {threads}, {run.length_as_text()}{reason}"


def missing(run: Run) -> list[str]:
    """Sentences on unavailable probes and dropped events; empty if the Run is complete."""
    return [
        *(f"Not available: {reason}" for reason in run.info.unavailable),
        *(f"Not complete: {reason}." for reason in run.info.dropped),
    ]


def cost(run: Run) -> str:
    """One line on the CPU time of the probes."""
    share, programs = run.info.cost.estimated_cpu_pct_of_one, run.info.cost.programs
    if share is None:
        return "netprobe: cost of the probes unknown, as this kernel has no BPF run-time statistics."
    events = sum(program.run_cnt for program in programs)
    time_ns = sum(program.run_time_ns for program in programs)
    mean = f" ({time_ns / events:.0f} ns per event)" if events else ""
    return f"netprobe: the probes used {share:.2f} % of one CPU{mean}."


def cost_advice(run: Run) -> str | None:
    """Recommend --light after an expensive recording; None if it was cheap or already duty-cycled."""
    share = run.info.cost.estimated_cpu_pct_of_one
    if run.duty_cycled or share is None or share < _EXPENSIVE_PCT:
        return None
    return "If this is too much for the server: record --light counts in sampling windows, at a fraction of the cost."
