"""The top of a comparison's page: both sides, the verdict, findings that came and went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from netprobe.analysis.compare.comparison import Comparison
from netprobe.render import diff as words
from netprobe.render.report.findings import card
from netprobe.render.report.headline import headline
from netprobe.render.report.html import Html, counted, element, folded, join, listed
from netprobe.render.report.parts import Section
from netprobe.render.report.top import facts_line, whom
from netprobe.rules.finding import Finding
from netprobe.rules.registry import evaluate
from netprobe.run.model import Run

Names = tuple[str, str]


def top(comparison: Comparison, names: Names, heading: str, shown: Sequence[Section]) -> Html:
    """All of it. `names`: what the sides are called besides A and B."""
    return element(
        "header",
        element("h1", heading),
        *(
            element("div", element("p", f"{letter} = {name}: {whom(side.run)}"), facts_line(side.run), class_="side")
            for letter, name, side in zip("AB", names, (comparison.a, comparison.b), strict=True)
        ),
        element(
            "section",
            _verdict(comparison),
            _differs(comparison),
            _findings(comparison, [one.anchor for one in shown]),
            id="findings",
            aria_label="Verdict and findings",
        ),
    )


def _verdict(comparison: Comparison) -> Html:
    became: Counter[str] = Counter(one.became for one in comparison.findings)
    counted = [row for row in comparison.changed if row.kind == "metric"]
    chips = [
        element("span", f"{became[name]} {name}", class_=f"badge {name.replace(' ', '-')}")
        for name in ("appeared", "went away", "stayed", "inconclusive")
        if became[name]
    ]
    said = headline(comparison)
    tone = "major" if became["appeared"] else "minor" if said.fell else "good" if became["went away"] else "note"
    compared = sum(row.kind == "metric" for row in comparison.rows)
    changed = f"{len(counted)} of {compared} numbers changed" if compared else "no number could be compared"
    return element(
        "div",
        element("p", sentence(comparison), class_="sentence"),
        element("p", *chips, element("span", changed, class_="soft"), class_="chips"),
        class_=f"verdict {tone}",
    )


def sentence(comparison: Comparison) -> str:
    """What became of the findings, and of the throughput where that is known."""
    became: Counter[str] = Counter(one.became for one in comparison.findings)
    parts = [
        f"{became[name]} finding{'' if became[name] == 1 else 's'} {name}"
        for name in ("went away", "appeared", "stayed")
        if became[name]
    ]
    said = ", ".join(parts) if parts else "No finding came or went"
    return f"{said}. {headline(comparison).words}".rstrip()


def _differs(comparison: Comparison) -> Html:
    if not comparison.comparable:
        return element("p", words.heading(comparison)[-1], class_="soft")
    count = len(comparison.comparable)
    return folded(
        f"Before anything else: {count} {'thing differs or is' if count == 1 else 'things differ or are'} not known "
        "besides what was measured",
        listed(counted(one.words) for one in comparison.comparable),
    )


def _findings(comparison: Comparison, anchors: Sequence[str]) -> Html:
    """The most costly first, and open, with the evidence of the side that has it; of what stayed, of B."""
    before, after = (_found(side.run) for side in (comparison.a, comparison.b))
    known: list[tuple[Finding, str]] = []
    others = []
    for one in comparison.findings:
        full = before.get(one.code) if one.became == "went away" else after.get(one.code) or before.get(one.code)
        if full is None or one.became == "inconclusive":
            others.append(
                element("p", element("strong", f"{one.became} "), element("code", one.code), f": {one.words}")
            )
        else:
            known.append((full, one.became))
    known.sort(key=lambda pair: (-pair[0].severity, -(pair[0].cost_pct or 0.0)))
    cards = (card(full, set(anchors), not number, became) for number, (full, became) in enumerate(known))
    return join((*cards, *others))


def _found(run: Run) -> dict[str, Finding]:
    return {one.code: one for one in evaluate(run) if isinstance(one, Finding)}
