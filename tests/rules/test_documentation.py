"""The text of a rule stands once: in the docstring of its module."""

import ast
import inspect
import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from netprobe.render.explain import as_markdown
from netprobe.render.findings import as_json, finding_lines
from netprobe.rules.documentation import SECTIONS, parse
from netprobe.rules.finding import Evidence, Finding, Severity
from netprobe.rules.registry import all_rules

RULES = all_rules()
TEXT = """A title.

## Detection

A condition.

The cost.

## Why it matters

It costs
`much`.

Details.

## Fix

Change it.

## Source

socket(7).
"""


def finding(**options):
    evidence = (Evidence("1 message", 1),)
    return Finding("some-code", Severity.NOTE, "A summary.", evidence, parse(TEXT), **options)


def test_a_finding_has_the_first_paragraph_of_each_section():
    found = finding()
    assert (found.why_it_matters, found.fix, found.source) == ("It costs much.", "Change it.", "socket(7).")
    assert found.documentation.title == "A title."
    assert found.documentation.markdown == inspect.cleandoc(TEXT)


def test_the_fix_with_the_values_of_the_run_follows_the_general_one():
    assert finding(specific_fix="Here: pin reactor-1 to CPU 0.").fix == "Change it. Here: pin reactor-1 to CPU 0."


@pytest.mark.parametrize("heading", [f"## {section}\n" for section in SECTIONS])
def test_a_missing_section_is_refused(heading):
    with pytest.raises(ValueError, match="has a title and the sections Detection, Why it matters, Fix, Source"):
        parse(TEXT.replace(heading, ""))


@pytest.mark.parametrize("body", ["A title.", "A condition.\n\nThe cost.", "Change it.", "socket(7)."])
def test_an_empty_section_is_refused(body):
    with pytest.raises(ValueError, match="none of them empty"):
        parse(TEXT.replace(body, ""))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.CODE)
def test_a_rule_has_all_sections(rule):
    documentation = rule.DOCUMENTATION
    assert documentation == parse(rule.__doc__)
    for text in (documentation.detection, documentation.why_it_matters, documentation.fix, documentation.source):
        assert len(text.split()) >= 3 or "(" in text
    assert documentation.title.endswith(".")
    assert len(documentation.title) < 110
    for text in (documentation.why_it_matters, documentation.fix):
        assert text.endswith(".")
        assert len(text) < 260, "a sentence or two; details belong in a second paragraph"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.CODE)
def test_a_rule_writes_none_of_these_texts_again(rule):
    """Each finding takes its texts from the documentation, and no other literal repeats a sentence of it."""
    tree = ast.parse(Path(inspect.getfile(rule)).read_text())
    findings = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
    ]  # fmt: skip
    assert findings
    for call in findings:
        assert len(call.args) == 5
        assert ast.unparse(call.args[4]) == "DOCUMENTATION"
        assert {keyword.arg for keyword in call.keywords} <= {"cost_pct", "specific_fix", "replaces_fix", "of"}
    sentences = set(re.split(r"(?<=[.;:]) ", " ".join(rule.__doc__.replace("`", "").split())))
    literals = {node.value for node in ast.walk(tree.body[1:] and ast.Module(tree.body[1:], [])) if _is_text(node)}
    assert not {text for text in literals if text.strip() in sentences}


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 3


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.CODE)
def test_a_cost_is_documented(rule):
    if "cost_pct=" in Path(inspect.getfile(rule)).read_text():
        assert "cost is" in rule.DOCUMENTATION.markdown.lower()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.CODE)
def test_documented_codes_exist(rule):
    """A backquoted name with the shape of a code is one."""
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", rule.DOCUMENTATION.markdown))
    assert named <= {other.CODE for other in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.CODE)
def test_explain_prints_the_docstring(rule):
    assert as_markdown(rule) == f"# {rule.CODE}\n\n{inspect.cleandoc(rule.__doc__)}\n"


def test_text_and_json_have_the_same_texts():
    found = finding(cost_pct=1.5)
    assert finding_lines(1, found) == [
        "1. note  some-code: A summary.",
        "   - 1 message",
        "   Why it matters: It costs much.",
        "   Fix: Change it.",
        "   More: netprobe explain some-code",
    ]
    document = as_json([found])
    (entry,) = document["findings"]
    assert (entry["why_it_matters"], entry["fix"], entry["source"]) == ("It costs much.", "Change it.", "socket(7).")
    jsonschema.validate(document, json.loads((files("netprobe.render.schema") / "findings.json").read_text()))
