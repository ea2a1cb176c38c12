"""The directive `findings`: the documentation of all rules, as `netprobe explain CODE` prints it."""

import re
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from netprobe.render.explain import as_markdown
from netprobe.rules.registry import all_rules


class Findings(SphinxDirective):
    """`findings`: a list of all codes, then one section per code."""

    def run(self) -> list[nodes.Node]:
        """The list and the sections."""
        rules = all_rules()
        listed = "\n".join(f"- [{rule.CODE}](#{rule.CODE}): {rule.DOCUMENTATION.title}" for rule in rules)
        sections = "\n".join(f"({rule.CODE})=\n{_one_level_deeper(as_markdown(rule))}" for rule in rules)
        return self.parse_text_to_nodes(f"{listed}\n\n{sections}", allow_section_headings=True)


def _one_level_deeper(markdown: str) -> str:
    return re.sub(r"^(#+ )", r"#\1", markdown, flags=re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("findings", Findings)
    return {"parallel_read_safe": True}
