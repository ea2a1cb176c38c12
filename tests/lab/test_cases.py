"""The labelled cases: whether each finding has one. That each gets its findings is a test that needs root."""

import re

from netprobe.lab import cases
from netprobe.lab.cases import ALONE, CASES, RIGHT
from netprobe.rules.registry import all_rules


def test_each_finding_has_a_case_of_its_own_or_a_reason():
    with_case = {code for case in ALONE for code in case.codes}
    without = set(re.findall(r"^- `([a-z-]+)`: ", cases.__doc__, re.MULTILINE))
    assert without == {"mitigation-cost", "unknown-frames", "poll-mode"}
    assert with_case | without == {rule.CODE for rule in all_rules()}
    assert not with_case & without


def test_names_are_different():
    assert len({case.name for case in CASES}) == len(CASES)


def test_right_cases_have_nothing_wrong():
    assert not any(case.codes or case.also for case in RIGHT)
