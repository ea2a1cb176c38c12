"""Rules are discovered, have one code each, and are evaluated once per Run."""

import inspect
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import netprobe.analysis.busypoll
import netprobe.analysis.frame_shares
import netprobe.analysis.locality
import netprobe.analysis.pollers
import netprobe.analysis.switches
import netprobe.analysis.syscalls
from netprobe import rules
from netprobe.render.findings import summary_lines
from netprobe.render.record import headline, tables
from netprobe.render.report.run_page import render
from netprobe.rules import registry
from netprobe.rules.context import Rule, RunContext, context_of
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


def test_all_rules_are_discovered():
    assert {rule.CODE for rule in RULES} >= WANTED


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_the_module_is_named_like_the_code(rule):
    assert Path(inspect.getfile(rule)).stem == rule.CODE.replace("-", "_")


def test_a_code_is_used_once(monkeypatch):
    def fake(name: str) -> tuple[str, ModuleType]:
        module = ModuleType(name)
        module.CODE = "same-code"  # type: ignore[attr-defined]
        return name, module

    pair = [fake("first_owner"), fake("second_owner")]
    monkeypatch.setattr(registry, "_modules", lambda: iter(pair))
    with pytest.raises(ValueError, match=r"same-code of second_owner belongs to first_owner"):
        registry.all_rules()


def test_modules_without_a_code_are_skipped():
    modules = {path.stem for path in Path(rules.__file__).parent.glob("*.py")}
    assert {"context", "finding", "documentation", "registry", "costs"} <= modules
    assert len(RULES) == len({rule.CODE for rule in RULES})


def test_a_server_without_faults_passes_all_rules(world, polling):
    for healthy in (world, polling):
        healthy.budgets = {"reactor-0": (7.0, 0.1), "reactor-1": (7.0, 0.1)}
        results = registry.evaluate(RunContext(healthy.run()))
        assert [result for result in results if not isinstance(result, Pass)] == []


def test_without_data_no_rule_passes(empty):
    """An empty table is no sign of health."""
    results = registry.evaluate(RunContext(empty.run()))
    assert [result.code for result in results if not isinstance(result, Inconclusive)] == []
    assert all("probe" in result.reason or "load" in result.reason or "table" in result.reason for result in results)


def test_findings_come_first_by_descending_cost(world):
    world.remote("reactor-0", 0, 100_000).drop("syscalls", syscall="recvfrom")
    for name in ("reactor-0", "reactor-1"):
        world.call(name, "read", 200_000)
    world.steering = "none"
    context = RunContext(world.run())
    results = registry.evaluate(context)
    findings = [result for result in results if isinstance(result, Finding)]
    assert [finding.code for finding in findings] == ["reuseport-unsteered", "read-on-sockets"]
    assert findings[0].severity >= findings[1].severity
    assert results[: len(findings)] == findings
    assert registry.findings(context) == findings


# ---- Each rule and each analysis once per Run ----


@pytest.mark.parametrize("rule", RULES, ids=code_of)
def test_a_rule_is_evaluated_once(rule, world):
    """Rules use the results of each other; the results are kept."""
    context = RunContext(world.run())
    assert context.result(rule) is context.result(rule)


@pytest.fixture
def analyses(monkeypatch) -> Counter[str]:
    """Counts the calls of the analyses of a Run."""
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        analysis = getattr(module, name)

        def counted(*args, **options):
            calls[f"{module.__name__.rpartition('.')[2]}.{name} {options or args[1:2]}"] += 1
            return analysis(*args, **options)

        monkeypatch.setattr(module, name, counted)

    for name in ("thread_matrices", "tx_matrices"):
        count(netprobe.analysis.locality, name)
    count(netprobe.analysis.busypoll, "analyse")
    count(netprobe.analysis.pollers, "pollers")
    count(netprobe.analysis.switches, "summarise")
    count(netprobe.analysis.syscalls, "summarise")
    groups = netprobe.analysis.locality.groups

    def counted_groups(*args):
        calls["locality.groups"] += 1
        return groups(*args)

    monkeypatch.setattr(netprobe.analysis.locality, "groups", counted_groups)
    shares = netprobe.analysis.frame_shares.FrameShares.__init__

    def counted_shares(self, profile):
        calls["frame_shares.FrameShares"] += 1
        shares(self, profile)

    monkeypatch.setattr(netprobe.analysis.frame_shares.FrameShares, "__init__", counted_shares)
    return calls


def test_evaluation_and_summary_analyse_a_run_once(world, analyses):
    """As `netprobe record` does: the results of all rules, the headline, the tables."""
    run = world.run()
    assert summary_lines(registry.evaluate(context_of(run)))
    assert headline(context_of(run))
    assert list(tables(context_of(run)))
    registry.rule_results(run)
    assert len(analyses) >= 8
    assert {name: calls for name, calls in analyses.items() if calls > 1} == {}


def test_a_report_analyses_a_run_once(world, analyses):
    assert b"reuseport" in render(world.run())
    assert len(analyses) >= 8
    assert {name: calls for name, calls in analyses.items() if calls > 1} == {}


def test_a_run_has_one_context(world):
    run = world.run()
    assert context_of(run) is context_of(run)
    assert context_of(run) is not context_of(world.run())


def test_a_load_generator_is_no_server(world):
    """In a recording of the whole machine, its threads read messages as well, of connections that they opened."""
    world.message("load", 0, 0, 200_000)
    interval, *thread, received, read, messages, _ = world.rows["messages"].pop()
    world.rows["messages"].append((interval, *thread, received, read, messages, 0))
    assert {thread.thread for thread in RunContext(world.run()).reactors} == {"reactor-0", "reactor-1"}
