"""What stands around every table: whose numbers these are, what is missing from them, what they cost."""

from __future__ import annotations

from typing import Any

from netprobe.render.safe import printable
from netprobe.run.model import Run


def heading(run: Run) -> str:
    """One line: target, threads, time, and why it is shorter than asked for, if it is."""
    target, window = run.info["target"], run.info["recording"]
    threads = target["threads"]
    whole = not (target["pids"] or target["comm"] or target["command"])
    seen = "active" if whole else "seen"
    ended = {"time": "", "target exited": " (ended with the target)", "command exited": " (as long as the command ran)"}
    reason = ended.get(window["stopped_by"], f" (ended by {window['stopped_by']})")
    whom = f"{printable(target['description'])}, {threads} thread{'' if threads == 1 else 's'} {seen}"
    return f"{whom}, {run.length_in_words()}{reason}"


def missing(run: Run) -> list[str]:
    """Sentences on what could not be attached or counted; none where all is there."""
    return [
        *(f"Not available: {text}" for text in run.info["unavailable"]),
        *(f"Not complete: {text}." for text in run.info["dropped"]),
    ]


def cost(run: Run) -> str:
    """One line on what netprobe itself took."""
    taken: dict[str, Any] = run.info["cost"]
    share = taken["estimated_cpu_pct_of_one"]
    if share is None:
        return "netprobe: this kernel keeps no account of what the probes cost."
    events = sum(program["run_cnt"] for program in taken["programs"])
    time_ns = sum(program["run_time_ns"] for program in taken["programs"])
    mean = f" ({time_ns / events:.0f} ns an event)" if events else ""
    return f"netprobe: its probes took {share:.2f} % of one CPU{mean}."


# Of one CPU, in the probes alone; what the kernel takes to call them comes on top of it.
_MUCH_PCT = 3.0


def cheaper(run: Run) -> str | None:
    """What to do about a recording of everything that took much; None where it did not, or was a light one."""
    share = run.info["cost"]["estimated_cpu_pct_of_one"]
    if run.duty_cycled or share is None or share < _MUCH_PCT:
        return None
    return "If that is more than the server can spare: record --light counts in windows, at a fraction of the cost."
