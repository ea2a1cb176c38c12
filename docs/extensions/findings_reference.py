"""The directive `findings`: every rule's docstring, as `netprobe explain CODE` prints it, one level deeper."""

import re
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from netprobe.render.explain import as_markdown, title
from netprobe.rules.registry import all_rules


class Findings(SphinxDirective):
    """`findings`: a list of all codes, then a section for each."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        rules = all_rules()
        listed = "\n".join(f"- [{rule.CODE}](#{rule.CODE}): {_inline(title(rule))}" for rule in rules)
        sections = "\n".join(f"({rule.CODE})=\n{_deeper(as_markdown(rule))}" for rule in rules)
        return self.parse_text_to_nodes(f"{listed}\n\n{sections}", allow_section_headings=True)


def _inline(text: str) -> str:
    return text.replace("\n", " ")


def _deeper(markdown: str) -> str:
    return re.sub(r"^(#+ )", r"#\1", markdown, flags=re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Register it."""
    app.add_directive("findings", Findings)
    return {"parallel_read_safe": True}
