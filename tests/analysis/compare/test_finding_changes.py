"""Findings that come and go, of one Run or of most of a series."""

from netprobe.analysis.compare.change import RuleResults, finding_changes


def became(before, after):
    return {one.code: one.became for one in finding_changes(before, after)}


def test_every_way():
    before = RuleResults({"a": "A.", "b": "B.", "d": "D."}, {"e": "needs stacks"})
    after = RuleResults({"b": "B.", "c": "C.", "e": "E."}, {"d": "needs the table"})
    assert became([before], [after]) == {
        "a": "went away", "b": "stayed", "c": "appeared", "d": "inconclusive", "e": "inconclusive",
    }  # fmt: skip


def test_what_appeared_stands_first():
    found = finding_changes([RuleResults({"a": "A.", "b": "B."}, {})], [RuleResults({"b": "B.", "z": "Z."}, {})])
    assert [one.code for one in found] == ["z", "a", "b"]


def test_most_of_a_series_decide():
    once, twice, none = RuleResults({"a": "A."}, {}), RuleResults({"a": "A.", "b": "B."}, {}), RuleResults({}, {})
    assert became([none] * 3, [once, twice, none]) == {"a": "appeared"}
