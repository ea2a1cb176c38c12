"""Diffs, against a second and plain count of the same rows."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from flamegraph.builder import Builder
from flamegraph.diff import DiffOptions, diff
from flamegraph.errors import ProfileError
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.matching import clean_name
from flamegraph.profile import Info
from flamegraph.verdicts import NothingKnown, SimpleRule, Verdict
from flamegraph.writers.registry import write_diff


def profile_of(rows, info=None):
    """Rows: thread, frames, weight."""
    builder = Builder()
    for comm, names, weight in rows:
        frames = [builder.frame(name if isinstance(name, Frame) else Frame(name)) for name in names]
        builder.add(builder.stack(frames), builder.thread(Thread(1, 1, comm)), count=weight, weight=weight)
    return builder.profile(info or Info("cycles", "samples", 4.0))


SUFFIXES = ("", "", ".cold", ".constprop.3", ".isra.0", ".part.12.isra.0", "::h0123456789abcdef", ".llvm.998877")


def random_rows(seed):
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(400):
        names = [f"f{random.integers(6)}{random.choice(SUFFIXES)}" for _ in range(random.integers(1, 6))]
        rows.append((f"worker-{random.integers(3)}", names, int(random.integers(1, 40))))
    return rows


def plainly(rows, fold=False):
    """Path -> [own, total]; function -> [own, total]."""
    boxes, functions = {}, {}
    for comm, names, weight in rows:
        clean = [re.sub(r"(::h[0-9a-f]{16}|\.(cold|constprop|isra|part|llvm)(\.\d+)?)+$", "", name) for name in names]
        path = ("worker-N" if fold else comm, *clean)
        for length in range(len(path) + 1):
            boxes.setdefault(path[:length], [0, 0])[1] += weight
        boxes[path][0] += weight
        for name in set(clean):
            functions.setdefault(name, [0, 0])[1] += weight
        functions[clean[-1]][0] += weight
    return boxes, functions


def paths(tree):
    found = [()]
    for box in range(1, len(tree)):
        found.append((*found[tree.parent[box]], tree.frames[tree.frame[box]].name))
    return found


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize(
    ("options", "by_a", "by_b"),
    [
        ({}, None, None),
        ({"per": "second"}, 4.0, 5.0),
        ({"per": "request", "requests_a": 2000, "requests_b": 500}, 2.0, 0.5),
    ],
)
def test_numbers_against_a_plain_count(fold, options, by_a, by_b):
    rows_a, rows_b = random_rows(1), random_rows(2)
    before = profile_of(rows_a)
    after = profile_of(rows_b, Info("cycles", "samples", 5.0))
    found = diff(before, after, DiffOptions(fold_threads=fold, **options))
    (boxes_a, functions_a), (boxes_b, functions_b) = plainly(rows_a, fold), plainly(rows_b, fold)
    by_a, by_b = by_a or before.total / 100, by_b or after.total / 100
    seen = paths(found.tree)
    assert set(seen) == set(boxes_a) | set(boxes_b)
    assert len(seen) == len(set(seen))
    for at, key in ((0, True), (1, False)):
        assert np.allclose(found.rate_a(own=key), [boxes_a.get(path, [0, 0])[at] / by_a for path in seen])
        assert np.allclose(found.rate_b(own=key), [boxes_b.get(path, [0, 0])[at] / by_b for path in seen])
    rows = {row.frame.name: row for row in found.top(0)}
    assert set(rows) == set(functions_a) | set(functions_b)
    for name, row in rows.items():
        (own_a, all_a), (own_b, all_b) = functions_a.get(name, [0, 0]), functions_b.get(name, [0, 0])
        assert np.allclose(
            [row.own_a, row.own_b, row.total_a, row.total_b],
            [own_a / by_a, own_b / by_b, all_a / by_a, all_b / by_b],
        )
    for by in ("own", "total"):
        changes = [abs(row.own_change if by == "own" else row.change) for row in found.top(0, by)]
        assert changes == sorted(changes, reverse=True)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("tcp_ack.part.0", "tcp_ack"),
        ("tcp_ack.part.0.isra.3.cold", "tcp_ack"),
        ("core::fmt::write::h0123456789abcdef", "core::fmt::write"),
        ("core::fmt::write::h0123456789abcdef.llvm.123456", "core::fmt::write"),
        ("core::fmt::write::h012345678", "core::fmt::write::h012345678"),
        ("std::sort(int*) [clone .constprop.0] [clone .cold]", "std::sort(int*)"),
        ("cold", "cold"),
        (".cold", ".cold"),
        ("a.party", "a.party"),
        ("my.part.number", "my.part.number"),
        ("[unknown]", "[unknown]"),
    ],
)
def test_names_without_what_compilers_append(name, clean):
    assert clean_name(name) == clean


def test_kernel_and_user_functions_of_one_name_stay_apart_and_library_versions_do_not():
    before = profile_of([("x", [Frame("read", "/lib/libc-2.36.so"), Frame("read", "[kernel]", Kind.KERNEL)], 50)])
    after = profile_of([("x", [Frame("read", "/lib/libc-2.37.so"), Frame("read", "[kernel]", Kind.KERNEL)], 50)])
    assert diff(before, after).counts["unchanged"] == 4


def one_frame(weight, of=100_000, **info):
    rows = [("x", ["rest"], of - weight)]
    return profile_of(rows + ([("x", ["it"], weight)] if weight else []), Info("cycles", "samples", 4.0, **info))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (5000, 8000, Verdict.GROWN),
        (8000, 5000, Verdict.SHRUNK),
        (0, 5000, Verdict.NEW),
        (5000, 0, Verdict.GONE),
        (5000, 5000, Verdict.UNCHANGED),
        (50_000, 50_600, Verdict.UNCHANGED),
        (0, 20, Verdict.CANNOT_TELL),
        (10, 15, Verdict.CANNOT_TELL),
        (4000, 4900, Verdict.GROWN),
    ],
)
def test_verdicts(a, b, verdict):
    found = diff(one_frame(a), one_frame(b), DiffOptions(root="none"))
    assert found.verdict[[path[-1:] for path in paths(found.tree)].index(("it",))] == verdict
    back = diff(one_frame(b), one_frame(a), DiffOptions(root="none"))
    mirror = {Verdict.GROWN: Verdict.SHRUNK, Verdict.NEW: Verdict.GONE}
    mirror |= {there: here for here, there in mirror.items()}
    assert back.verdict[[path[-1:] for path in paths(back.tree)].index(("it",))] == mirror.get(verdict, verdict)


def test_a_small_change_among_few_samples_cannot_be_told():
    found = diff(one_frame(200, 1000), one_frame(230, 1000), DiffOptions(root="none"))
    assert found.counts["inconclusive"] >= 1
    assert found.counts["grown"] == 0


def test_inclusive_and_own_verdicts_differ():
    before = profile_of([("x", ["main"], 5000), ("x", ["main", "leaf"], 1000)])
    after = profile_of([("x", ["main"], 5000), ("x", ["main", "leaf"], 9000)])
    found = diff(before, after, DiffOptions(per="second", root="none"))
    main = paths(found.tree).index(("main",))
    assert found.verdict[main] == Verdict.GROWN
    assert found.own_verdict[main] == Verdict.UNCHANGED


def test_another_judge_has_what_it_needs():
    seen = []

    def judge(evidence):
        seen.append(evidence)
        return np.full(len(evidence.rate_a), Verdict.CANNOT_TELL, np.uint8)

    before, after = one_frame(5000), one_frame(8000)
    found = diff(before, after, DiffOptions(judge=judge))
    assert found.counts["inconclusive"] == len(found.tree)
    evidence = seen[0]
    assert (evidence.inclusive, seen[1].inclusive) == (True, False)
    assert len(evidence.member_a) == len(before.samples)
    own = np.bincount(evidence.member_b, evidence.after.samples.weight, len(found.tree))
    assert np.array_equal(own, found.b.own)
    assert found.top(1)[0].verdict == Verdict.CANNOT_TELL


@pytest.mark.parametrize(
    ("options", "info", "told"),
    [
        ({"per": "request"}, {}, "How many requests"),
        ({"per": "request", "requests_a": 0, "requests_b": 4}, {}, "How many requests"),
        ({"per": "second"}, {"seconds": 0.0}, "length of one recording"),
        ({"per": "second"}, {"unit": "ns"}, "cannot be compared"),
        ({"per": "hour"}, {}, "no denominator 'hour'"),
    ],
)
def test_a_denominator_that_is_not_known_is_refused(options, info, told):
    before = one_frame(100)
    after = replace(before, info=replace(before.info, **info))
    with pytest.raises(ProfileError, match=told) as caught:
        diff(before, after, DiffOptions(**options))
    assert caught.value.hint


def test_moved_symbols_are_reported():
    known = profile_of([("x", ["a", "b"], 1000)])
    lost = profile_of([("x", ["a", Frame("[unknown]", "", Kind.UNKNOWN)], 300), ("x", ["a", "b"], 700)])
    [note] = diff(known, lost).notes
    assert "stacks whose leaf has no name moved from 0.0% to 30.0%" in note
    [note] = diff(known, replace(known, info=replace(known.info, truncated=500))).notes
    assert "truncated stacks moved from 0.0% to 50.0%" in note
    assert diff(known, known).notes == ()


def test_weights_without_samples():
    weighed = one_frame(5000)
    weighed = replace(
        weighed,
        info=Info("off-cpu", "ns", 4.0),
        samples=replace(weighed.samples, count=np.zeros_like(weighed.samples.count)),
    )
    found = diff(weighed, weighed)
    assert found.a.samples is None
    assert "how certain" in found.notes[-1]
    assert found.counts["unchanged"] == len(found.tree)


def test_where_nothing_is_known_nothing_is_claimed():
    found = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none", judge=NothingKnown("There are no times.")))
    assert found.counts["inconclusive"] == 2
    assert found.counts["unchanged"] == 1
    assert found.notes[-1].startswith("There are no times. So nothing says")


def test_where_nothing_is_known_the_picture_still_leans(tmp_path):
    """Paler colours for more and for less, and words in the legend."""
    known = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none"))
    unknown = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none", judge=NothingKnown("No times.")))
    for found, words in ((known, "≈ noise"), (unknown, "? more: inconclusive")):
        write_diff(found, tmp_path / "diff.svg")
        picture = (tmp_path / "diff.svg").read_text("utf-8")
        assert words in picture
        colors = {name: re.search(rf'<g class="c(\d+)"><title>. {name}', picture)[1] for name in ("it", "rest")}
        assert colors["it"] != colors["rest"]


def test_notes_of_both_sides_are_said_once():
    a = one_frame(5000, notes=("Same.", "Of the first."))
    b = one_frame(5000, notes=("Same.", "Of the second."))
    assert diff(a, b).notes == ("Both: Same.", "A: Of the first.", "B: Of the second.")


def test_one_side_empty():
    full = one_frame(5000)
    found = diff(full.filter(thread="nobody"), full)
    assert found.counts["new"] == len(found.tree)
    assert diff(full.filter(thread="nobody"), full.filter(thread="nobody")).top() == []


def test_as_json():
    found = diff(one_frame(5000), one_frame(8000), DiffOptions(name_a="old", name_b="new", root="none"))
    document = json.loads(json.dumps(found.to_dict()))
    assert document["version"] == 1
    assert document["before"]["name"] == "old"
    assert document["denominator"] == {
        "per": "share",
        "unit": "%",
        "text": "Share of all weight: 100,000 and 100,000 samples.",
    }
    assert "simple rule" in document["judge"]
    assert document["boxes"]["name"] == ["all", *document["boxes"]["name"][1:]]
    at = document["boxes"]["name"].index("it")
    assert document["boxes"]["total_before"][at] == 5.0
    assert document["boxes"]["verdict"][at] == "grown"
    it = next(row for row in document["functions"] if row["name"] == "it")
    assert (it["total_before"], it["total_after"], it["verdict"]) == (5.0, 8.0, "grown")
    assert "boxes" not in found.to_dict(boxes=False)


def test_thresholds_are_said():
    assert "25%" in str(SimpleRule(relative=0.25))


@pytest.mark.parametrize("ending", [".html", ".svg"])
def test_written(tmp_path, ending):
    path = tmp_path / f"diff{ending}"
    write_diff(diff(one_frame(5000), one_frame(8000)), path, title="The title")
    assert "The title" in path.read_text("utf-8") or ending == ".html"
    assert path.stat().st_size > 5000


def test_formats_that_show_no_diff_are_refused(tmp_path):
    with pytest.raises(ProfileError):
        write_diff(diff(one_frame(5000), one_frame(8000)), tmp_path / "diff.txt")
    assert list(tmp_path.iterdir()) == []
