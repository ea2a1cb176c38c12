"""The page of one Run, and its summary: target, verdict, the most important numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from netprobe.errors import NetprobeError
from netprobe.render.figures.run_figures import RunFigures
from netprobe.render.report.charts import Charts, Section
from netprobe.render.report.findings import cards, rest
from netprobe.render.report.html import Html, counted, element, join
from netprobe.render.report.page import page
from netprobe.render.report.recording_details import missing, recording_details
from netprobe.render.report.run_sections import ReportData, sections
from netprobe.render.units import percent, rate
from netprobe.rules.context import MissingDataError, RunContext, context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass, Result
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run

Tile = tuple[str, str, str, str]
"""Label, value, explanation, tone ("good", "bad" or "")."""


def render(run: Run, title: str = "") -> bytes:
    """The page as UTF-8."""
    context, charts = context_of(run), Charts()
    results = evaluate(context)
    shown = list(sections(ReportData(context, RunFigures(run), charts)))
    shown.append(Section("missing", "Missing data", missing(run, _lacking(results, charts))))
    shown.append(Section("recording", "Recording details", recording_details(run)))
    return page(title or f"{target_name(run)} – netprobe", _top(run, context, results, shown, title), shown, charts)


def _lacking(results: Sequence[Result], charts: Charts) -> list[str]:
    rules = [f"inconclusive {result.code}: {result.reason}" for result in results if isinstance(result, Inconclusive)]
    return [*charts.missing, *rules]


def _top(run: Run, context: RunContext, results: Sequence[Result], shown: Sequence[Section], title: str) -> Html:
    found = [result for result in results if isinstance(result, Finding)]
    return element(
        "header",
        element("h1", title or target_name(run)),
        details_line(run),
        element(
            "section",
            verdict(results, _state(context)),
            tiles(context),
            cards(found, (section.anchor for section in shown)),
            rest(results),
            id="findings",
            aria_label="Verdict and findings",
        ),
    )


def target_name(run: Run) -> str:
    """Description of the target, with the name of its program if the Run has it."""
    described = run.info.target.description
    if "programs" not in run.tables:
        return described
    names = {str(path).rpartition("/")[2] for (path,) in run.tables["programs"].rows("path")}
    return f"{', '.join(sorted(names)[:3])} ({described})" if names else described


def details_line(run: Run) -> Html:
    """Start, length, threads, host and CPUs of the recording."""
    host, recording, target = (run.info.host, run.info.recording, run.info.target)
    parts = [
        (recording.started or "")[:19].replace("T", " "),
        run.length_as_text(),
        _threads(target.threads),
        " ".join(filter(None, (host.hostname, host.kernel, host.architecture))),
        f"CPUs {host.cpus_online}" if host.cpus_online else "",
    ]
    return element("p", *(element("span", part) for part in parts if part), class_="details")


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}" if count else ""


# ---- The verdict ----


def _state(context: RunContext) -> str:
    """Whether the server is saturated, waiting or idle; empty in Runs without the time of threads."""
    try:
        return context.saturation.sentence if context.saturation else ""
    except MissingDataError:
        return ""


def verdict(results: Sequence[Result], state: str = "") -> Html:
    """The state of the server, the most costly finding, and the number of results of each kind."""
    found = [result for result in results if isinstance(result, Finding)]
    inconclusive = sum(isinstance(result, Inconclusive) for result in results)
    passed = sum(isinstance(result, Pass) for result in results)
    counts = Counter(finding.severity.name.lower() for finding in found)
    sentence, tone = _sentence(found, inconclusive, passed)
    chips = [
        element("span", f"{counts[name]} {name}", class_=f"badge {name}")
        for name in ("major", "minor", "note")
        if counts[name]
    ]
    others = f"{passed} rule{'' if passed == 1 else 's'} passed"
    if inconclusive:
        others += f", {inconclusive} inconclusive"
    return element(
        "div",
        element("p", counted(sentence), class_="sentence"),
        element("p", counted(state), class_="state") if state else Html(""),
        element("p", *chips, element("span", others, class_="soft"), class_="chips"),
        class_=f"verdict {tone}",
    )


def _sentence(found: Sequence[Finding], inconclusive: int, passed: int) -> tuple[str, str]:
    if found:
        tone = found[0].severity.name.lower()
        more = len(found) - 1
        return found[0].summary + (f" And {more} more finding{'' if more == 1 else 's'}." if more else ""), tone
    if not passed:
        return "Inconclusive: the Run has no data that a rule could evaluate.", "note"
    if inconclusive:
        return "No rule has a finding, but some rules lack data.", "note"
    return "No rule has a finding.", "good"


# ---- Tiles: the most important numbers ----


def tiles(context: RunContext) -> Html:
    """The most important numbers, as far as they are known."""
    found: list[Tile] = []
    for make in (_requests, _locality, _calls, _polling, _preempted):
        try:
            if tile := make(context):
                found.append(tile)
        except (MissingDataError, NetprobeError, KeyError):
            continue
    return element("dl", join(_tile(*tile) for tile in found), class_="tiles") if found else Html("")


def _tile(label: str, value: str, below: str, tone: str) -> Html:
    return element(
        "div", element("dt", label), element("dd", value, class_="value"), element("dd", below, class_="soft"),
        class_=f"tile {tone}",
    )  # fmt: skip


def _requests(context: RunContext) -> Tile | None:
    known = context.requests
    if known is None or not context.run.seconds > 0:
        return None
    below = ("estimate: " * known.estimated) + known.source
    return "Requests per second", f"{known.count / context.run.seconds:,.0f}", below, ""


def _locality(context: RunContext) -> Tile | None:
    share = context.matrix.local_pct
    if share is None:
        return None
    below = f"of {context.matrix.total:,} messages were read on the CPU that received them"
    return "Local messages", f"{share:.1f} %", below, "good" if share >= 99 else "bad" if share < 90 else ""


def _calls(context: RunContext) -> Tile | None:
    known, calls = context.requests, sum(row.calls for row in context.calls)
    if not calls:
        return None
    if known and known.count:
        below = f"{calls / context.run.seconds:,.0f} per second" if context.run.seconds > 0 else f"{calls:,} in total"
        return "System calls per request", f"{calls / known.count:.2f}", below, ""
    below = "number of requests unknown"
    if context.run.seconds > 0:
        return "System calls per second", f"{calls / context.run.seconds:,.0f}", below, ""
    return "System calls", f"{calls:,}", f"{below}, length of the recording unknown", ""


def _polling(context: RunContext) -> Tile | None:
    found = context.polling
    if found.verdict == "inconclusive":
        return None
    if found.verdict == "none":
        requested = found.requested
        below = "requested, but it does not run" if requested else "not requested"
        return "Busy polling", "none", below, "bad" * requested
    attempts, hits = sum(row.attempts for row in found.rows), sum(row.hits for row in found.rows)
    below = f"of packets; {percent(hits, attempts)} % of {attempts:,} polls found packets"
    tone = "good" if found.verdict == "good" else "bad"
    share = f"{found.share_pct:.1f} %" if found.share_pct is not None else "?"
    return "Received by busy polling", share, below, tone


def _preempted(context: RunContext) -> Tile | None:
    count = sum(row.involuntary for row in context.switches)
    switches = sum(row.switches for row in context.switches)
    if not context.run.seconds > 0:
        return "Preemptions", f"{count:,}", f"of {switches:,} switches", ""
    below = f"of {switches / context.run.seconds:,.0f} switches"
    return "Preemptions per second", rate(count, context.run.seconds), below, ""
