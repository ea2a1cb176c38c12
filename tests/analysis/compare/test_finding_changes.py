"""Findings that appear and go away, in a Run or in most Runs of a series."""

from netprobe.analysis.compare.change import RuleResults, finding_changes


def status(before, after):
    return {one.code: one.status for one in finding_changes(before, after)}


def test_every_status():
    before = RuleResults({"a": "A.", "b": "B.", "d": "D."}, {"e": "needs stacks"})
    after = RuleResults({"b": "B.", "c": "C.", "e": "E."}, {"d": "needs the table"})
    assert status([before], [after]) == {
        "a": "went away", "b": "stayed", "c": "appeared", "d": "inconclusive", "e": "inconclusive",
    }  # fmt: skip


def test_findings_that_appeared_are_first():
    found = finding_changes([RuleResults({"a": "A.", "b": "B."}, {})], [RuleResults({"b": "B.", "z": "Z."}, {})])
    assert [one.code for one in found] == ["z", "a", "b"]


def test_a_series_has_the_findings_of_most_runs():
    once, twice, none = RuleResults({"a": "A."}, {}), RuleResults({"a": "A.", "b": "B."}, {}), RuleResults({}, {})
    assert status([none] * 3, [once, twice, none]) == {"a": "appeared"}
