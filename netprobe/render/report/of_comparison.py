"""The page of two Runs: what else differs, what changed, what that means, both sides beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netprobe.analysis.compare.comparison import Comparison
from netprobe.errors import NetprobeError
from netprobe.render import diff as words
from netprobe.render.figures.of_comparison import ComparisonFigures
from netprobe.render.report import run_sections
from netprobe.render.report.compared import Names, top
from netprobe.render.report.flame import frame_of_diff
from netprobe.render.report.html import Html, element, folded, join, listed, table
from netprobe.render.report.page import page
from netprobe.render.report.parts import Charts, Section
from netprobe.render.report.run_sections import Source
from netprobe.render.report.shared_scales import share_scales
from netprobe.render.report.taken import how, missing
from netprobe.rules.context import RunContext

_ROWS = 60
_SIDES: tuple[tuple[str, str, Callable[[Source], Html]], ...] = (
    ("load", "Throughput and latency", run_sections.load),
    ("locality", "Locality", run_sections.matrix),
    ("reuseport", "Reuseport group", run_sections.group),
    ("syscalls", "System calls", run_sections.calls),
    ("switches", "Context switches", run_sections.next_tasks),
    ("busypoll", "Busy polling", run_sections.polling),
)


def render(comparison: Comparison, names: Names = ("A", "B"), title: str = "") -> bytes:
    """The page as UTF-8. `names`: what the sides are called besides A and B."""
    charts = Charts()
    figures = ComparisonFigures(comparison)
    sides = (
        Source(RunContext(comparison.a.run), figures.a, charts, "a-", comparison.per),
        Source(RunContext(comparison.b.run), figures.b, charts, "b-", comparison.per),
    )
    shown = list(_sections(comparison, figures, sides, names, charts))
    share_scales(charts.figures)
    heading = title or f"{names[0]} → {names[1]}"
    return page(f"{heading} – netprobe", top(comparison, names, heading, shown), shown, charts)


# ---- Sections ----


def _sections(
    comparison: Comparison, figures: ComparisonFigures, sides: tuple[Source, Source], names: Names, charts: Charts
) -> Iterator[Section]:
    yield Section("changes", "What changed", _changes(comparison, figures, charts))
    yield Section("time", "Over time", _over_time(figures, charts))
    for anchor, title, make in _SIDES:
        body = _beside(names, (make(side) for side in sides), wide=anchor == "switches")
        yield Section(anchor, title, body, "Load" if anchor == "load" else "")
    yield Section("flame", "Where the time goes", _stacks(comparison, figures, charts))
    lacking = [missing(side.context.run, []) for side in sides]
    body = join((_beside(names, lacking), listed((*comparison.skipped, *charts.missing))))
    yield Section("missing", "What could not be measured", body, "Not measured")
    yield Section(
        "taken", "How the data was taken", _beside(names, (how(side.context.run) for side in sides)), "How taken"
    )


def _beside(names: Names, parts: Iterable[Html], wide: bool = False) -> Html:
    columns = [
        element("div", element("h3", f"{letter}: {name}"), part)
        for letter, name, part in zip("AB", names, parts, strict=True)
    ]
    return element("div", *columns, class_="sides wide" if wide else "sides")


def _changes(comparison: Comparison, figures: ComparisonFigures, charts: Charts) -> Html:
    counted = [row for row in comparison.changed if row.group != "functions"]
    said = f"Counts are by {comparison.per}. The intervals allow for what one recording differs from the next."
    parts = [element("p", said)]
    compared = [row for row in comparison.rows if row.kind == "metric"]
    if any(row.changed for row in compared):
        parts.append(charts.place("changes", figures.changes))
    elif compared:
        parts.append(element("p", f"None of {len(compared)} numbers changed by more than noise."))
    else:
        parts.append(charts.lacking("no number is known of both sides in a way that could be compared"))
    if counted:
        shown = table(words.changes_as_text(counted, _ROWS), "What changed")
        parts.append(folded("What changed, as a table", shown, _more(len(counted))))
    if comparison.explained:
        title = words.explained_title(comparison)
        shown = table(words.explained_as_text(comparison.explained, _ROWS), title)
        parts.append(folded(title, shown, _more(len(comparison.explained))))
    renamed = [line for line in words.meaning(comparison) if line.startswith("Perhaps")]
    parts.append(listed(renamed))
    if unseen := words.unseen(comparison):
        parts.append(folded(unseen[0].partition(" Would")[0], element("p", "Would have seen:"), listed(unseen[1:])))
    return join(parts)


def _more(rows: int) -> Html:
    return element("p", f"… {rows - _ROWS:,} more rows", class_="soft") if rows > _ROWS else Html("")


def _over_time(figures: ComparisonFigures, charts: Charts) -> Html:
    return join((charts.place("time", figures.over_time, numbers=True), element("div", class_="chosen")))


def _stacks(comparison: Comparison, figures: ComparisonFigures, charts: Charts) -> Html:
    try:
        return frame_of_diff(figures.flame().diff)
    except NetprobeError as error:
        return charts.lacking(error.message)
