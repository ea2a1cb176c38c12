"""The short form of `make truth`, part `servers`: the fault of a stock server and of a small one is named."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timing("the shares of time depend on what else runs on the machine")
PATH = Path(__file__).parents[2] / "bench" / "truth_servers.py"


@pytest.fixture(scope="module")
def truth():
    """The module bench/truth_servers.py."""
    spec = importlib.util.spec_from_file_location("truth_servers", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", ["C loop: fsync", "redis: appendfsync always"])
def test_the_fault_is_first_or_second(truth, name):
    (case,) = [case for case in truth.CASES if case.name == name]
    outcome = truth.record(case, 2)
    assert outcome.rank in (1, 2), outcome.findings


def test_the_names_of_cases_are_unique_and_codes_differ_from_what_is_also_true(truth):
    names = [case.name for case in truth.CASES]
    assert len(set(names)) == len(names)
    assert not [case.name for case in truth.CASES if case.code in case.also]
