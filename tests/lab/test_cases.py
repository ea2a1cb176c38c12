"""The labelled cases: each finding has one. The test that each case produces its findings needs root."""

import importlib.util
import re
import sys
from pathlib import Path

from netprobe.lab import cases
from netprobe.lab.cases import ALONE, CASES, NO_FAULT
from netprobe.rules.registry import all_rules


def cases_of_servers():
    """The cases of bench/truth_servers.py, which is no part of the package."""
    path = Path(__file__).parents[2] / "bench" / "truth_servers.py"
    spec = importlib.util.spec_from_file_location("truth_servers_of_cases", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.CASES


def test_each_finding_has_a_case_or_a_reason_for_none():
    with_case = {code for case in ALONE for code in case.codes}
    without = set(re.findall(r"^- `([a-z-]+)`: ", cases.__doc__, re.MULTILINE))
    assert len(without) == 6
    codes = {rule.CODE for rule in all_rules()}
    of_servers = {case.code for case in cases_of_servers()} & codes
    assert with_case | of_servers | without == codes
    assert not (with_case | of_servers) & without


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_cases_without_fault_expect_no_finding():
    assert not any(case.codes or case.also for case in NO_FAULT)
