"""A section of the page, and the charts in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netprobe.errors import NetprobeError
from netprobe.render.report.html import Html, element, folded, join, table
from netprobe.render.report.numbers import table_of
from netprobe.rules.context import MissingDataError

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Section:
    """A heading with its address on the page and what stands below."""

    anchor: str
    title: str
    body: Html
    short: str = ""
    """What the bar at the top calls it, where the title is long."""


@dataclass
class Charts:
    """The charts of a page by the id of their place, as plotly's JSON."""

    figures: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Why others are not there."""

    def place(self, name: str, draw: Callable[[], go.Figure], *, numbers: bool = False) -> Html:
        """Where a chart is drawn; a sentence on why there is none, where there is none.

        `numbers`: with a table of them, of a chart whose data stand nowhere else on the page.
        """
        try:
            drawn = draw()
        except NetprobeError as error:
            return self.lacking(error.message)
        # Each page has the templates once, for light and for dark.
        drawn.update_layout(template=None)
        plain = json.loads(drawn.to_json(validate=False))
        self.figures[name] = plain
        meta = plain["layout"].get("meta", {})
        below = folded("The same in numbers", table(table_of(plain), meta.get("alt", name))) if numbers else ""
        place = element(
            "div",
            id=f"chart-{name}",
            class_="chart",
            style=f"height:{int(plain['layout'].get('height', 300))}px",
            role="img",
            aria_label=f"{meta.get('alt', name)}; the same as a table below",
            data_time=bool(meta.get("time")),
        )
        return join((place, below))

    def lacking(self, why: str) -> Html:
        """A sentence in the place of what is missing; it stands in the list of all that is missing too."""
        words = re.sub(r"^There is no figure \w+: ", "", why)
        if words not in self.missing:
            self.missing.append(words)
        return element("p", element("strong", "Not here: "), words, class_="missing")

    def attempt(self, make: Callable[[], Html]) -> Html:
        """What a function makes; a sentence on what the Run lacks for it."""
        try:
            return make()
        except MissingDataError as missing:
            return self.lacking(str(missing))
        except NetprobeError as error:
            return self.lacking(error.message)
        except KeyError as missing:
            return self.lacking(f"the Run has no {missing}")


def or_nothing(make: Callable[[], object]) -> Html:
    """What a function makes; nothing where the Run lacks what it needs."""
    try:
        return element("div", make())
    except (MissingDataError, NetprobeError, KeyError):
        return Html("")
