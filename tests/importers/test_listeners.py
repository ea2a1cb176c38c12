"""The listing of threads that join a reuseport group: their order and CPUs."""

import pytest

from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass
from netprobe.rules.registry import all_rules


def listing(*cpus, name="reactor-{}"):
    return "".join(f"{name.format(place)}, cpu={cpu}, socket {place}\n" for place, cpu in enumerate(cpus))


def result_of(run, code="reuseport-order"):
    (rule,) = [rule for rule in all_rules() if code == rule.CODE]
    return context_of(run).result(rule)


@pytest.mark.parametrize(
    ("cpus", "wrong"),
    [((0, 2, 1, 3), 2), ((3, 2, 1, 0), 4), ((4, 6, 5, 7), 2), ((0, 1, 3, 2), 2), ((2, 0), 2)],
    ids=str,
)
def test_wrong_order_is_a_finding(run_of, cpus, wrong):
    found = result_of(run_of(listing(*cpus)))
    assert isinstance(found, Finding)
    assert found.summary.startswith(f"{wrong} of {len(cpus)} listeners")
    assert f"CPU {', '.join(map(str, cpus))}" in found.evidence[0].text
    assert any("cost not known" in one.text for one in found.evidence)


@pytest.mark.parametrize("cpus", [(0, 1, 2, 3), (4, 5, 6, 7), (0, 2, 4, 6), (1,)], ids=str)
def test_right_order_passes(run_of, cpus):
    assert isinstance(result_of(run_of(listing(*cpus))), Pass)


def test_one_thread_that_creates_all_listeners_is_inconclusive(run_of):
    # The listing does not contain the threads that will serve them.
    answer = result_of(run_of(listing(0, 0, 0, 0, name="main")))
    assert isinstance(answer, Inconclusive)
    assert "a different CPU for each listener" in answer.reason


@pytest.mark.parametrize(
    ("place", "by", "reason"),
    [
        (1, "", "it has the sockets 0, 2, 3 instead of"),
        (0, "", "it has the sockets 1, 2, 3 instead of"),
        (1, "reactor-1, cpu=x, socket 1\n", "1 line was skipped"),
        (1, "some words of a reader, who could not leave it alone\n", "1 line was skipped"),
        (1, "reactor-1, cpu=2, socket 0\n", "it has the sockets 0, 2, 3 instead of"),
        (2, "reactor-2, cpu=1, socket 1\n", "it has the sockets 1, 3 instead of"),
        (3, "reactor-3, cpu=3, socket 3 or so\n", "1 line was skipped"),
    ],
)
def test_incomplete_listing_is_inconclusive(run_of, place, by, reason):
    lines = listing(0, 2, 1, 3).splitlines(keepends=True)
    lines[place] = by
    answer = result_of(run_of("".join(lines)))
    assert isinstance(answer, Inconclusive), answer
    assert "the listing is not complete" in answer.reason
    assert reason in answer.reason


def test_several_groups(run_of):
    run = run_of(listing(0, 1) + listing(1, 0))
    assert list(run.tables["reuseport_groups"].rows("group", "size")) == [(0, 2), (1, 2)]
    found = result_of(run)
    assert isinstance(found, Finding)
    assert found.summary.startswith("2 of 2 listeners")


def test_rows_are_stored_as_printed_and_by_index(run_of):
    run = run_of("b, cpu=1, socket 1\na, cpu=0, socket 0\n")
    assert list(run.tables["imported_listeners"].rows("name", "cpu", "socket")) == [("b", 1, 1), ("a", 0, 0)]
    assert list(run.tables["reuseport_members"].rows("index", "thread")) == [(0, "a"), (1, "b")]


def test_data_that_the_listing_does_not_contain_are_unknown(run_of):
    run = run_of(listing(0, 2, 1, 3))
    assert {"how the group is steered", "address and port"} <= set(run.info.imported.unknown)
    assert any("does not contain how the group is steered" in note for note in run.info.imported.notes)
    for code in ("listener-thread-unpinned", "reuseport-unsteered", "locality-broken"):
        assert isinstance(result_of(run, code), Inconclusive), code


def test_malformed_rows(report):
    found = report("a, cpu=0, socket 0\nb, cpu=x, socket 1\nc, cpu=2, socket 2\n")
    assert (found.contents.rows, found.skipped_lines) == (2, 1)
