"""FlameGraph's own tests of its collapser: 13 inputs, 6 options, 78 results, each compared exactly."""

import os
from pathlib import Path

import pytest

from flamegraph import ReadOptions, read
from flamegraph.writers import WriteOptions
from flamegraph.writers.folded import render

SET = Path(__file__).parents[3] / "shared/fixtures/flamegraph-tests"
INPUTS = (
    "perf-cycles-instructions-01",
    "perf-dd-stacks-01",
    "perf-funcab-cmd-01",
    "perf-funcab-pid-01",
    "perf-iperf-stacks-pidtid-01",
    "perf-java-faults-01",
    "perf-java-stacks-01",
    "perf-java-stacks-02",
    "perf-js-stacks-01",
    "perf-mirageos-stacks-01",
    "perf-numa-stacks-01",
    "perf-rust-Yamakaky-dcpu",
    "perf-vertx-stacks-01",
)
WRITE = {
    "pid": WriteOptions(root="pid"),
    "tid": WriteOptions(root="tid"),
    "kernel": WriteOptions(annotate_kernel=True),
    "jit": WriteOptions(annotate_jit=True),
    "all": WriteOptions(annotate_kernel=True, annotate_jit=True),
    "addrs": WriteOptions(),
}
# Results made when only a process named exactly `java` was Java, and not `java-?/19983`.
STALE = {"perf-java-faults-01", "perf-java-stacks-01", "perf-java-stacks-02", "perf-vertx-stacks-01"}


@pytest.fixture(scope="module")
def conformance_set():
    if not SET.is_dir():
        reason = f"FlameGraph's tests are not at {SET}: they are no part of the project"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SET


@pytest.mark.parametrize("option", WRITE)
@pytest.mark.parametrize("name", INPUTS)
def test_result(conformance_set, name, option):
    stale = option in ("pid", "tid") and name in STALE
    profile = read(conformance_set / f"{name}.txt", ReadOptions(addresses=option == "addrs", java_only_by_name=stale))
    expected = (conformance_set / f"results/{name}-collapsed-{option}.txt").read_bytes()
    assert render(profile, WRITE[option]) == expected


def test_number_of_conformance_results(conformance_set):
    assert {path.stem for path in conformance_set.glob("perf-*.txt")} == set(INPUTS)
    assert len(list((conformance_set / "results").iterdir())) == len(INPUTS) * len(WRITE) == 78


@pytest.mark.parametrize("name", sorted(STALE))
def test_stale_results_need_their_rule(conformance_set, name):
    expected = (conformance_set / f"results/{name}-collapsed-tid.txt").read_bytes()
    assert render(read(conformance_set / f"{name}.txt"), WRITE["tid"]) != expected
