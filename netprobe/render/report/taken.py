"""What could not be measured and why; how the data was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netprobe.render.notes import cost
from netprobe.render.report.html import Html, element, folded, join, listed, pairs, table
from netprobe.render.report.parts import or_nothing
from netprobe.render.text import Column, TextTable
from netprobe.render.units import duration
from netprobe.run.model import Run


def missing(run: Run, lacking: Iterable[str]) -> Html:
    """Probes that were not there, what was dropped, and what the page could not draw."""
    unknown = _list(_mapping(run.info.get("imported")).get("unknown"))
    lines = [
        *(f"Not available: {words}" for words in _list(run.info.get("unavailable"))),
        *(f"Not complete: {words}" for words in _list(run.info.get("dropped"))),
        *(f"Not known, as it was imported: {words}" for words in unknown),
        *(f"{words[:1].upper()}{words[1:]}" for words in lacking),
    ]
    if not lines:
        return element("p", "Everything that was asked for was measured, and nothing was dropped.")
    return listed(lines)


def how(run: Run) -> Html:
    """Machine, target, time, probes and what they cost."""
    info = run.info
    host, target = (_mapping(info.get(name)) for name in ("host", "target"))
    context = pairs(
        (
            ("Target", target.get("description") or ""),
            ("Command", " ".join(map(str, _list(target.get("command"))))),
            *_times(run),
            ("Host", _words_of(host, "hostname", "architecture", "cpu_model")),
            ("Kernel", _words_of(host, "kernel", "kernel_version") or "not known"),
            ("CPUs", host.get("cpus_online") or "not known"),
            ("Boot parameters", host.get("boot_parameters") or ""),
            ("Requests", _requests(info)),
            ("Probes", ", ".join(map(str, _list(info.get("probes"))))),
            ("Ways", "; ".join(f"{what}: {way}" for what, way in _mapping(info.get("attach_mechanisms")).items())),
            ("Written by", f"netprobe {info.get('netprobe_version', '?')}"),
            ("Run format", info.get("format_version", "?")),
            ("Cost", "" if run.imported else or_nothing(lambda: cost(run))),
        )
    )
    return join((context, _sources(info), or_nothing(lambda: _programs(run)), or_nothing(lambda: _attached(info))))


def _times(run: Run) -> list[tuple[str, object]]:
    window = _mapping(run.info.get("recording"))
    intervals = window.get("intervals")
    several = isinstance(intervals, int) and intervals > 1 and run.seconds > 0
    length = run.length_in_words(2) if run.seconds > 0 else "for a time that is not known"
    return [
        ("Recorded", f"{window.get('started') or 'at a time that is not known'}, {length}"),
        ("Time intervals", f"{intervals}, about {run.seconds / (intervals or 1):.2f} s each" if several else ""),
        ("Ended by", window.get("stopped_by") or ""),
    ]


def _words_of(host: Mapping[str, Any], *names: str) -> str:
    return " ".join(str(host[name]) for name in names if host.get(name))


def _requests(info: Mapping[str, Any]) -> str:
    told = info.get("requests")
    return f"{told['count']:,.0f}, from {told['source']}" if isinstance(told, dict) and "count" in told else ""


def _sources(info: Mapping[str, Any]) -> Html:
    """Of an imported Run: what it was read from."""
    imported = _mapping(info.get("imported"))
    parts = [_mapping(part) for part in _list(imported.get("parts"))]
    if not parts:
        return Html("")
    names = ("format", "source", "first_line", "last_line", "rows", "left")
    columns = [Column(name.replace("_", " ").upper(), name not in ("format", "source")) for name in names]
    rows = [[str(part.get(name, "")) for name in names] for part in parts]
    return join((table(TextTable(columns, rows), "Imported from"), listed(_list(imported.get("notes")))))


def _programs(run: Run) -> Html:
    if "programs" not in run.tables or not len(run.tables["programs"]):
        return Html("")
    rows = [
        [str(pid), path, build_id[:16] or "none", f"{size:,}"]
        for pid, path, build_id, size in run.tables["programs"].rows("pid", "path", "build_id", "size_bytes")
    ]
    columns = [Column("PID", True), Column("PROGRAM"), Column("BUILD ID"), Column("BYTES", True)]
    return folded("Programs that ran", table(TextTable(columns, rows), "Programs that ran"))


def _attached(info: Mapping[str, Any]) -> Html:
    programs = _list(_mapping(info.get("cost")).get("programs"))
    if not programs:
        return folded("Attach points", listed(_list(info.get("attached")))) if info.get("attached") else Html("")
    rows = [
        [one["program"], one["attached_to"], f"{one['run_cnt']:,}", duration(one["mean_ns"]),
         duration(one["estimated_total_ns"])]
        for one in programs
    ]  # fmt: skip
    columns = [Column("PROGRAM"), Column("ATTACHED TO"), Column("RUNS", True), Column("MEAN", True)]
    columns.append(Column("TOTAL, ESTIMATED", True))
    title = "Attach points and what each took"
    return folded(title, table(TextTable(columns, rows), title))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
