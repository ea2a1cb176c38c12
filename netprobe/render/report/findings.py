"""Findings as cards, and the results of all other rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netprobe.render.report.html import Html, counted, element, folded, join, listed, pairs
from netprobe.rules.finding import Finding, Inconclusive, Pass, Result

_SEVERITY = {1: "note", 2: "minor", 3: "major"}
# Begin of a code → anchor and title of the section that shows the evidence.
_SHOWN_IN = {
    "busy-poll": ("busypoll", "Busy polling"),
    "epoll-ctl": ("syscalls", "System calls"),
    "epoll-zero": ("syscalls", "System calls"),
    "hot-frame": ("flame", "CPU flame graph"),
    "kernel-hooks": ("flame", "CPU flame graph"),
    "mitigation": ("flame", "CPU flame graph"),
    "unknown-frames": ("flame", "CPU flame graph"),
    "read-on": ("syscalls", "System calls"),
    "syscalls": ("syscalls", "System calls"),
    "listener": ("reuseport", "Reuseport group"),
    "reuseport": ("reuseport", "Reuseport group"),
    "locality": ("locality", "Locality"),
    "tx-queue": ("locality", "Locality"),
    "reactor": ("switches", "Context switches"),
    "timer": ("switches", "Context switches"),
}


def cards(found: Sequence[Finding], anchors: Iterable[str]) -> Html:
    """One card per finding; the first is open."""
    there = set(anchors)
    return join(card(finding, there, opened=not number) for number, finding in enumerate(found))


def card(finding: Finding, anchors: set[str], opened: bool = False, badge: str = "") -> Html:
    """The summary of a finding; evidence, reason, fix and source are below it."""
    severity = _SEVERITY[finding.severity]
    summary = element(
        "summary",
        element("span", severity, class_=f"badge {severity}"),
        element("span", badge, class_=f"badge {badge.replace(' ', '-')}") if badge else "",
        element("span", counted(finding.summary), class_="summary"),
        element("code", finding.code, class_="code"),
    )
    body = element(
        "div",
        element("h4", "Evidence"),
        listed((counted(evidence.text) for evidence in finding.evidence), "evidence"),
        pairs(
            (
                ("Why it matters", finding.why_it_matters),
                ("Fix", element("strong", finding.fix)),
                ("Estimated cost", f"{finding.cost_pct:.1f} % of the server's CPU time" if finding.cost_pct else ""),
                ("Source", finding.source),
                (
                    "More",
                    element("span", element("code", f"netprobe explain {finding.code}"), _link(finding.code, anchors)),
                ),
            )
        ),
        class_="finding-body",
    )
    return element("details", summary, body, class_=f"finding {severity}", id=f"finding-{finding.code}", open=opened)


def _link(code: str, anchors: set[str]) -> Html:
    for begin, (anchor, title) in _SHOWN_IN.items():
        if code.startswith(begin) and anchor in anchors:
            return element("span", " · shown in ", element("a", title, href=f"#{anchor}"))
    return Html("")


def rest(results: Sequence[Result]) -> Html:
    """Rules that passed, and rules that are inconclusive with their reasons."""
    passed = [result for result in results if isinstance(result, Pass)]
    inconclusive = [result for result in results if isinstance(result, Inconclusive)]
    parts = []
    if inconclusive:
        lines = [element("span", element("code", result.code), f" {result.reason}") for result in inconclusive]
        parts.append(
            folded(f"{len(inconclusive)} rule{'' if len(inconclusive) == 1 else 's'} inconclusive", listed(lines))
        )
    if passed:
        lines = [element("span", element("code", result.code), f" {result.reason}") for result in passed]
        parts.append(folded(f"{len(passed)} rule{'' if len(passed) == 1 else 's'} passed", listed(lines)))
    return element("div", *parts, class_="rest") if parts else Html("")
