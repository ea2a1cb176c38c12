"""The page of two Runs: comparability, findings, changes, and both sides next to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from netprobe.analysis.compare.comparison import Comparison
from netprobe.analysis.compare.throughput import cpu_time_unchanged, load_is_worse, throughput_change
from netprobe.errors import NetprobeError
from netprobe.render import diff as diff_text
from netprobe.render.figures.comparison_figures import ComparisonFigures
from netprobe.render.report import run_sections
from netprobe.render.report.charts import Charts, Section
from netprobe.render.report.findings import card
from netprobe.render.report.html import Html, counted, element, folded, join, listed, table
from netprobe.render.report.page import flame_diff_frame, page
from netprobe.render.report.recording_details import missing, recording_details
from netprobe.render.report.run_page import details_line, target_name
from netprobe.render.report.run_sections import ReportData
from netprobe.render.report.shared_scales import share_scales
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run

Names = tuple[str, str]

_ROWS = 60
_SIDES: tuple[tuple[str, str, Callable[[ReportData], Html]], ...] = (
    ("load", "Throughput and latency", run_sections.load),
    ("locality", "Locality", run_sections.matrix),
    ("reuseport", "Reuseport group", run_sections.group),
    ("syscalls", "System calls", run_sections.calls),
    ("switches", "Context switches", run_sections.next_tasks),
    ("busypoll", "Busy polling", run_sections.polling),
)


def render(comparison: Comparison, names: Names = ("A", "B"), title: str = "") -> bytes:
    """The page as UTF-8. `names`: names of the sides, shown next to A and B."""
    charts = Charts()
    figures = ComparisonFigures(comparison)
    sides = (
        ReportData(context_of(comparison.a.run), figures.a, charts, "a-", comparison.per),
        ReportData(context_of(comparison.b.run), figures.b, charts, "b-", comparison.per),
    )
    shown = list(_sections(comparison, figures, sides, names, charts))
    share_scales(charts.figures)
    heading = title or f"{names[0]} → {names[1]}"
    return page(f"{heading} – netprobe", _top(comparison, names, heading, shown), shown, charts)


# ---- The top: both sides, the verdict, findings ----


def _top(comparison: Comparison, names: Names, heading: str, shown: Sequence[Section]) -> Html:
    return element(
        "header",
        element("h1", heading),
        *(
            element(
                "div",
                element("p", f"{letter} = {name}: {target_name(side.run)}"),
                details_line(side.run),
                class_="side",
            )
            for letter, name, side in zip("AB", names, (comparison.a, comparison.b), strict=True)
        ),
        element(
            "section",
            _verdict(comparison),
            _comparability(comparison),
            _findings(comparison, [section.anchor for section in shown]),
            id="findings",
            aria_label="Verdict and findings",
        ),
    )


def _verdict(comparison: Comparison) -> Html:
    status_counts: Counter[str] = Counter(finding.status for finding in comparison.findings)
    chips = [
        element("span", f"{status_counts[name]} {name}", class_=f"badge {name.replace(' ', '-')}")
        for name in ("appeared", "went away", "stayed", "inconclusive")
        if status_counts[name]
    ]
    worse = load_is_worse(comparison)
    tone = (
        "major" if status_counts["appeared"] else "minor" if worse else "good" if status_counts["went away"] else "note"
    )
    changed = sum(row.kind == "metric" for row in comparison.changed)
    compared = sum(row.kind == "metric" for row in comparison.rows)
    metrics = f"{changed} of {compared} metrics changed" if compared else "no metric could be compared"
    return element(
        "div",
        element("p", sentence(comparison), class_="sentence"),
        element("p", *chips, element("span", metrics, class_="soft"), class_="chips"),
        class_=f"verdict {tone}",
    )


def sentence(comparison: Comparison) -> str:
    """How the findings and the throughput changed."""
    status_counts: Counter[str] = Counter(finding.status for finding in comparison.findings)
    parts = [
        f"{status_counts[name]} finding{'' if status_counts[name] == 1 else 's'} {name}"
        for name in ("went away", "appeared", "stayed")
        if status_counts[name]
    ]
    findings = ", ".join(parts) if parts else "No finding appeared or went away"
    return f"{findings}. {_throughput(comparison)}".rstrip()


def _throughput(comparison: Comparison) -> str:
    """Change of the throughput with its confidence interval; empty if it is not known on both sides."""
    row = throughput_change(comparison)
    if row is None:
        return ""
    values = f"Requests per second: {row.rate_a:,.0f} → {row.rate_b:,.0f}"
    change = row.verdict if row.change_pct is None else f"{row.change_pct:+.{0 if abs(row.change_pct) >= 1 else 1}f} %"
    confidence_interval = diff_text.confidence_interval(row)
    limits = f"; 95 % confidence interval: {confidence_interval}" if confidence_interval else ""
    if row.verdict == "inconclusive":
        return f"{values} ({change}; inconclusive: too few values)."
    if not row.changed:
        return f"{values}, within noise ({change}{limits})."
    load = ""
    if cpu_time_unchanged(comparison):
        load = " CPU time per request did not change measurably: the load may differ, rather than the server."
    return f"{values} ({change}{limits}).{load}"


def _comparability(comparison: Comparison) -> Html:
    if not comparison.comparability_warnings:
        return element("p", diff_text.heading(comparison)[-1], class_="soft")
    count = len(comparison.comparability_warnings)
    return folded(
        f"{count} comparability warning{'' if count == 1 else 's'}",
        listed(counted(warning.message) for warning in comparison.comparability_warnings),
    )


def _findings(comparison: Comparison, anchors: Sequence[str]) -> Html:
    """The most costly first, and open. Evidence is from the side that has the finding; if both have it, from B."""
    before, after = (_found(side.run) for side in (comparison.a, comparison.b))
    known: list[tuple[Finding, str]] = []
    others = []
    for change in comparison.findings:
        full = (
            before.get(change.code)
            if change.status == "went away"
            else after.get(change.code) or before.get(change.code)
        )
        if full is None or change.status == "inconclusive":
            others.append(
                element(
                    "p", element("strong", f"{change.status} "), element("code", change.code), f": {change.message}"
                )
            )
        else:
            known.append((full, change.status))
    known.sort(key=lambda pair: (-pair[0].severity, -(pair[0].cost_pct or 0.0)))
    cards = (card(full, set(anchors), not number, status) for number, (full, status) in enumerate(known))
    return join((*cards, *others))


def _found(run: Run) -> dict[str, Finding]:
    return {result.code: result for result in evaluate(context_of(run)) if isinstance(result, Finding)}


# ---- Sections ----


def _sections(
    comparison: Comparison,
    figures: ComparisonFigures,
    sides: tuple[ReportData, ReportData],
    names: Names,
    charts: Charts,
) -> Iterator[Section]:
    yield Section("changes", "Changes", _changes(comparison, figures, charts))
    yield Section("time", "Over time", _over_time(figures, charts))
    for anchor, title, make in _SIDES:
        body = _side_by_side(names, (make(side) for side in sides), wide=anchor == "switches")
        yield Section(anchor, title, body, "Load" if anchor == "load" else "")
    yield Section("flame", "CPU flame graph", _stacks(figures, charts))
    lacking = [missing(side.context.run, []) for side in sides]
    body = join((_side_by_side(names, lacking), listed((*comparison.skipped, *charts.missing))))
    yield Section("missing", "Missing data", body)
    details = (recording_details(side.context.run) for side in sides)
    yield Section("recording", "Recording details", _side_by_side(names, details))


def _side_by_side(names: Names, parts: Iterable[Html], wide: bool = False) -> Html:
    columns = [
        element("div", element("h3", f"{letter}: {name}"), part)
        for letter, name, part in zip("AB", names, parts, strict=True)
    ]
    return element("div", *columns, class_="sides wide" if wide else "sides")


def _changes(comparison: Comparison, figures: ComparisonFigures, charts: Charts) -> Html:
    metrics = [row for row in comparison.changed if row.group != "functions"]
    parts = [element("p", f"Counts are per {comparison.per}. The confidence intervals include run-to-run variation.")]
    compared = [row for row in comparison.rows if row.kind == "metric"]
    if any(row.changed for row in compared):
        parts.append(charts.place("changes", figures.changes))
    elif compared:
        parts.append(element("p", f"None of {len(compared)} metrics changed by more than noise."))
    else:
        parts.append(charts.lacking("the two Runs have no metric in common that could be compared"))
    if metrics:
        shown = table(diff_text.changes_as_text(metrics, _ROWS), "Changes")
        parts.append(folded("Changes, as a table", shown, _more(len(metrics))))
    if comparison.explained:
        title = diff_text.explained_title(comparison)
        shown = table(diff_text.explained_as_text(comparison.explained, _ROWS), title)
        parts.append(folded(title, shown, _more(len(comparison.explained))))
    parts.append(listed(diff_text.renamed_as_lines(comparison)))
    if within_noise := diff_text.within_noise(comparison):
        parts.append(folded(within_noise[0].rstrip(":"), listed(within_noise[1:])))
    return join(parts)


def _more(rows: int) -> Html:
    return element("p", f"… {rows - _ROWS:,} more rows", class_="soft") if rows > _ROWS else Html("")


def _over_time(figures: ComparisonFigures, charts: Charts) -> Html:
    return join((charts.place("time", figures.over_time, numbers=True), element("div", class_="chosen")))


def _stacks(figures: ComparisonFigures, charts: Charts) -> Html:
    try:
        return flame_diff_frame(figures.flamegraph().diff)
    except NetprobeError as error:
        return charts.lacking(error.message)
