"""The labelled cases: each finding has one. The test that each case produces its findings needs root."""

import re

from netprobe.lab import cases
from netprobe.lab.cases import ALONE, CASES, NO_FAULT
from netprobe.rules.registry import all_rules


def test_each_finding_has_a_case_or_a_reason_for_none():
    with_case = {code for case in ALONE for code in case.codes}
    without = set(re.findall(r"^- `([a-z-]+)`: ", cases.__doc__, re.MULTILINE))
    assert without == {"mitigation-cost", "unknown-frames", "poll-mode"}
    assert with_case | without == {rule.CODE for rule in all_rules()}
    assert not with_case & without


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_cases_without_fault_expect_no_finding():
    assert not any(case.codes or case.also for case in NO_FAULT)
