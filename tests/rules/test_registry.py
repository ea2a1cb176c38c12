"""Rules are found, documented, and each has one code."""

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from netprobe import rules
from netprobe.render.explain import SECTIONS, title
from netprobe.rules import registry
from netprobe.rules.context import Rule
from netprobe.rules.finding import Finding, Inconclusive, Pass

RULES = registry.all_rules()
WANTED = {
    "reuseport-order", "reuseport-unsteered", "listener-thread-unpinned", "locality-broken", "tx-queue-elsewhere",
    "epoll-zero-timeout", "busy-poll-disabled", "busy-poll-no-napi", "busy-poll-mixed-napi", "busy-poll-softirq-first",
    "timer-thread-switching", "reactor-preempted", "read-on-sockets", "epoll-ctl-churn", "syscalls-per-request",
    "hot-frame", "mitigation-cost", "kernel-hooks", "unknown-frames", "poll-mode", "flush-batched",
}  # fmt: skip


def code_of(rule: Rule) -> str:
    return rule.CODE


def test_all_are_there():
    assert {rule.CODE for rule in RULES} >= WANTED


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_the_file_is_named_like_the_code(rule):
    assert Path(inspect.getfile(rule)).stem == rule.CODE.replace("-", "_")


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_documentation(rule):
    text = inspect.cleandoc(rule.__doc__)
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    parts = re.split(r"^## .*$", text, flags=re.MULTILINE)
    assert all(len(part.split()) > 3 for part in parts[1:])
    assert "\n\n" not in parts[0].strip(), "a title of one line"
    assert title(rule).endswith(".")
    assert len(title(rule)) < 110


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_the_cost_is_documented(rule):
    source = Path(inspect.getfile(rule)).read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    makes = [call for call in calls if ast.unparse(call.func) == "Finding"]
    assert makes
    if any(len(call.args) > 7 for call in makes):
        assert "cost" in rule.__doc__.lower()


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_documented_codes_exist(rule):
    """A backquoted name with the shape of a code is one."""
    codes = {one.CODE for one in RULES}
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", rule.__doc__))
    assert named <= codes


def test_a_code_is_used_once(monkeypatch):
    def fake(name: str) -> tuple[str, ModuleType]:
        module = ModuleType(name)
        module.CODE = "same-code"  # type: ignore[attr-defined]
        return name, module

    pair = [fake("first_owner"), fake("second_owner")]
    monkeypatch.setattr(registry, "_modules", lambda: iter(pair))
    with pytest.raises(ValueError, match=r"same-code of second_owner belongs to .*first_owner"):
        registry.all_rules()


def test_what_is_no_rule_is_skipped():
    assert {"facts", "finding", "registry", "costs"} <= {path.stem for path in Path(rules.__file__).parent.glob("*.py")}
    assert len(RULES) == len({rule.CODE for rule in RULES})


def test_nothing_is_wrong(world, polling):
    for right in (world, polling):
        said = registry.evaluate(right.run())
        assert [one for one in said if not isinstance(one, Pass)] == []


def test_without_data_nothing_is_clear(empty):
    """An empty table is no sign of health."""
    said = registry.evaluate(empty.run())
    assert [one.code for one in said if not isinstance(one, Inconclusive)] == []
    assert all("probe" in one.reason or "load" in one.reason for one in said)


def test_findings_come_first_the_most_costly_before_others(world):
    world.remote("reactor-0", 0, 100_000).drop("syscalls", syscall="recvfrom")
    for name in ("reactor-0", "reactor-1"):
        world.call(name, "read", 200_000)
    world.steering = "none"
    said = registry.evaluate(world.run())
    found = [one for one in said if isinstance(one, Finding)]
    assert [one.code for one in found] == ["reuseport-unsteered", "read-on-sockets"]
    assert found[0].severity >= found[1].severity
    assert said[: len(found)] == found
    assert registry.findings(world.run()) == found


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_judged_once(rule, world):
    """Rules ask each other; the answer is kept."""
    from netprobe.rules.context import RunContext

    context = RunContext(world.run())
    assert context.ask(rule) is context.ask(rule)
