"""Missing data and their reasons; the details of a recording."""

from __future__ import annotations

from collections.abc import Iterable

from netprobe.render.notes import cost
from netprobe.render.report.charts import or_nothing
from netprobe.render.report.html import Html, element, folded, join, listed, pairs, table
from netprobe.render.text import TextColumn, TextTable
from netprobe.render.units import duration
from netprobe.run.description import RunInfo
from netprobe.run.model import Run


def missing(run: Run, lacking: Iterable[str]) -> Html:
    """Unavailable probes, dropped events, and reasons why charts of the page are missing."""
    unknown = run.info.imported.unknown if run.info.imported else ()
    lines = [
        *(f"Not available: {reason}" for reason in run.info.unavailable),
        *(f"Not complete: {reason}" for reason in run.info.dropped),
        *(f"Not in the imported reports: {name}" for name in unknown),
        *(f"{reason[:1].upper()}{reason[1:]}" for reason in lacking),
    ]
    if not lines:
        return element("p", "All requested data were recorded, and no event was dropped.")
    return listed(lines)


def recording_details(run: Run) -> Html:
    """Machine, target, time, probes and their cost."""
    info = run.info
    host, target = info.host, info.target
    details = pairs(
        (
            ("Target", target.description),
            ("Command", " ".join(target.command)),
            *_times(run),
            ("Host", _joined(host.hostname, host.architecture, host.cpu_model)),
            ("Kernel", _joined(host.kernel, host.kernel_version) or "unknown"),
            ("CPUs", host.cpus_online or "unknown"),
            ("Boot parameters", host.boot_parameters or ""),
            ("Requests", _requests(info)),
            ("Probes", ", ".join(info.probes)),
            (
                "Attach mechanisms",
                "; ".join(f"{probe}: {mechanism}" for probe, mechanism in info.attach_mechanisms.items()),
            ),
            ("Written by", f"netprobe {info.netprobe_version}"),
            ("Run format", info.format_version),
            ("Cost", "" if run.imported else or_nothing(lambda: cost(run))),
        )
    )
    return join((details, _sources(info), or_nothing(lambda: _programs(run)), or_nothing(lambda: _attached(info))))


def _times(run: Run) -> list[tuple[str, object]]:
    recording = run.info.recording
    intervals = recording.intervals
    several = intervals > 1 and run.seconds > 0
    length = run.length_as_text(2) if run.seconds > 0 else "length unknown"
    return [
        ("Recorded", f"{recording.started or 'start unknown'}, {length}"),
        ("Time intervals", f"{intervals}, about {run.seconds / (intervals or 1):.2f} s each" if several else ""),
        ("Stopped by", recording.stopped_by or ""),
    ]


def _joined(*values: str | None) -> str:
    return " ".join(filter(None, values))


def _requests(info: RunInfo) -> str:
    return f"{info.requests.count:,.0f}, from {info.requests.source}" if info.requests else ""


def _sources(info: RunInfo) -> Html:
    """Reports that an imported Run was read from."""
    imported = info.imported
    if imported is None or not imported.reports:
        return Html("")
    names = ("format", "source", "first_line", "last_line", "rows", "skipped_lines")
    columns = [TextColumn(name.replace("_", " ").upper(), name not in ("format", "source")) for name in names]
    rows = [[str(getattr(report, name)) for name in names] for report in imported.reports]
    return join((table(TextTable(columns, rows), "Imported from"), listed(imported.notes)))


def _programs(run: Run) -> Html:
    if "programs" not in run.tables or not len(run.tables["programs"]):
        return Html("")
    rows = [
        [str(pid), path, build_id[:16] or "none", f"{size:,}"]
        for pid, path, build_id, size in run.tables["programs"].rows("pid", "path", "build_id", "size_bytes")
    ]
    columns = [TextColumn("PID", True), TextColumn("PROGRAM"), TextColumn("BUILD ID"), TextColumn("BYTES", True)]
    return folded("Programs that ran", table(TextTable(columns, rows), "Programs that ran"))


def _attached(info: RunInfo) -> Html:
    programs = info.cost.programs
    if not programs:
        return folded("Attach points", listed(info.attached)) if info.attached else Html("")
    rows = [
        [program.program, program.attached_to, f"{program.run_cnt:,}", duration(program.mean_ns),
         duration(program.estimated_total_ns)]
        for program in programs
    ]  # fmt: skip
    columns = [TextColumn("PROGRAM"), TextColumn("ATTACHED TO"), TextColumn("RUNS", True), TextColumn("MEAN", True)]
    columns.append(TextColumn("TOTAL, ESTIMATED", True))
    title = "Attach points and their run time"
    return folded(title, table(TextTable(columns, rows), title))
