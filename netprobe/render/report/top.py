"""The top of a Run's page: what it is about, the verdict, the numbers that matter most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from netprobe.errors import NetprobeError
from netprobe.render.report.html import Html, counted, element, join
from netprobe.render.units import percent, rate
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.finding import Finding, Inconclusive, Pass, Result
from netprobe.run.model import Run

Tile = tuple[str, str, str, str]
"""Label, value, what stands below it, tone ("good", "bad" or "")."""


def whom(run: Run) -> str:
    """The target, and its program's name where the Run knows it."""
    described = str(run.info["target"]["description"])
    if "programs" not in run.tables:
        return described
    names = {str(path).rpartition("/")[2] for (path,) in run.tables["programs"].rows("path")}
    return f"{', '.join(sorted(names)[:3])} ({described})" if names else described


def facts_line(run: Run) -> Html:
    """When, where and how long."""
    host, window, target = (_mapping(run.info.get(name)) for name in ("host", "recording", "target"))
    parts = [
        str(window.get("started") or "")[:19].replace("T", " "),
        run.length_in_words(),
        _threads(target.get("threads")),
        " ".join(str(host[name]) for name in ("hostname", "kernel", "architecture") if host.get(name)),
        f"CPUs {host['cpus_online']}" if host.get("cpus_online") else "",
    ]
    return element("p", *(element("span", part) for part in parts if part), class_="facts")


def _threads(count: object) -> str:
    return f"{count} thread{'' if count == 1 else 's'}" if isinstance(count, int) and count else ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def verdict(results: Sequence[Result]) -> Html:
    """One sentence on what the findings say, and how many of each sort there are."""
    found = [one for one in results if isinstance(one, Finding)]
    unknown = sum(isinstance(one, Inconclusive) for one in results)
    clear = sum(isinstance(one, Pass) for one in results)
    counts = Counter(one.severity.name.lower() for one in found)
    words, tone = _sentence(found, unknown, clear)
    chips = [(name, counts[name]) for name in ("major", "minor", "note")]
    shown = [element("span", f"{count} {name}", class_=f"badge {name}") for name, count in chips if count]
    told = f"{clear} rule{'' if clear == 1 else 's'} found nothing" + (f", {unknown} inconclusive" if unknown else "")
    return element(
        "div",
        element("p", counted(words), class_="sentence"),
        element("p", *shown, element("span", told, class_="soft"), class_="chips"),
        class_=f"verdict {tone}",
    )


def _sentence(found: Sequence[Finding], unknown: int, clear: int) -> tuple[str, str]:
    if found:
        tone = found[0].severity.name.lower()
        more = len(found) - 1
        return found[0].summary + (f" And {more} more finding{'' if more == 1 else 's'}." if more else ""), tone
    if not clear:
        return "Inconclusive what holds this server back: the Run has nothing that a rule could evaluate.", "note"
    if unknown:
        return "Nothing was found in what could be evaluated; some rules lack what they need.", "note"
    return "Nothing was found that makes this server slower than the kernel allows.", "good"


def tiles(context: RunContext) -> Html:
    """The numbers that matter most, of those that are known."""
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
    return (
        "Requests a second",
        f"{known.count / context.run.seconds:,.0f}",
        ("about; " * known.estimated) + known.source,
        "",
    )


def _locality(context: RunContext) -> Tile | None:
    share = context.matrix.local_pct
    if share is None:
        return None
    below = f"of {context.matrix.total:,} messages read on the CPU that received them"
    return "Local messages", f"{share:.1f} %", below, "good" if share >= 99 else "bad" if share < 90 else ""


def _calls(context: RunContext) -> Tile | None:
    known, calls = context.requests, sum(row.calls for row in context.calls)
    if not calls:
        return None
    if known and known.count:
        below = f"{calls / context.run.seconds:,.0f} a second" if context.run.seconds > 0 else f"{calls:,} in all"
        return "System calls per request", f"{calls / known.count:.2f}", below, ""
    below = "how many requests is not known"
    if context.run.seconds > 0:
        return "System calls a second", f"{calls / context.run.seconds:,.0f}", below, ""
    return "System calls", f"{calls:,}", f"{below}, nor how long it took", ""


def _polling(context: RunContext) -> Tile | None:
    found = context.polling
    if found.verdict == "inconclusive":
        return None
    if found.verdict == "none":
        asked = found.asked_by_server or found.asked_by_machine
        return "Busy polling", "none", "asked for, and it does not run" if asked else "not asked for", "bad" * asked
    attempts, hits = sum(row.attempts for row in found.rows), sum(row.hits for row in found.rows)
    below = f"of the packets; {percent(hits, attempts)} % of {attempts:,} polls hit"
    tone = "good" if found.verdict == "good" else "bad"
    return "Taken by busy polling", f"{found.share_pct:.1f} %" if found.share_pct is not None else "?", below, tone


def _preempted(context: RunContext) -> Tile | None:
    count = sum(row.involuntary for row in context.switches)
    switches = sum(row.switches for row in context.switches)
    if not context.run.seconds > 0:
        return "Pre-emptions", f"{count:,}", f"of {switches:,} switches", ""
    return (
        "Pre-emptions a second",
        rate(count, context.run.seconds),
        f"of {switches / context.run.seconds:,.0f} switches",
        "",
    )
