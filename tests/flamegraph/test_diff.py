"""Diffs, compared with a second, simple count of the same rows."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from flamegraph.builder import Builder
from flamegraph.diff import DiffOptions, diff
from flamegraph.errors import ProfileError
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.names import clean_name
from flamegraph.profile import Info
from flamegraph.verdicts import SimpleRule, UnknownNoise, Verdict
from flamegraph.writers import WriteOptions, write_diff


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


def simple_count(rows, fold=False):
    """Path -> [self, total]; function -> [self, total]."""
    nodes, functions = {}, {}
    for comm, names, weight in rows:
        clean = [re.sub(r"(::h[0-9a-f]{16}|\.(cold|constprop|isra|part|llvm)(\.\d+)?)+$", "", name) for name in names]
        path = ("worker-N" if fold else comm, *clean)
        for length in range(len(path) + 1):
            nodes.setdefault(path[:length], [0, 0])[1] += weight
        nodes[path][0] += weight
        for name in set(clean):
            functions.setdefault(name, [0, 0])[1] += weight
        functions[clean[-1]][0] += weight
    return nodes, functions


def paths(tree):
    found = [()]
    for node in range(1, len(tree)):
        found.append((*found[tree.parent[node]], tree.frames[tree.frame[node]].name))
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
def test_numbers_match_a_simple_count(fold, options, by_a, by_b):
    rows_a, rows_b = random_rows(1), random_rows(2)
    before = profile_of(rows_a)
    after = profile_of(rows_b, Info("cycles", "samples", 5.0))
    found = diff(before, after, DiffOptions(fold_threads=fold, **options))
    (nodes_a, functions_a), (nodes_b, functions_b) = simple_count(rows_a, fold), simple_count(rows_b, fold)
    by_a, by_b = by_a or before.total / 100, by_b or after.total / 100
    seen = paths(found.tree)
    assert set(seen) == set(nodes_a) | set(nodes_b)
    assert len(seen) == len(set(seen))
    for at, key in ((0, True), (1, False)):
        assert np.allclose(found.rate_a(self_only=key), [nodes_a.get(path, [0, 0])[at] / by_a for path in seen])
        assert np.allclose(found.rate_b(self_only=key), [nodes_b.get(path, [0, 0])[at] / by_b for path in seen])
    rows = {row.frame.name: row for row in found.top(0)}
    assert set(rows) == set(functions_a) | set(functions_b)
    for name, row in rows.items():
        (self_a, all_a), (self_b, all_b) = functions_a.get(name, [0, 0]), functions_b.get(name, [0, 0])
        assert np.allclose(
            [row.self_a, row.self_b, row.total_a, row.total_b],
            [self_a / by_a, self_b / by_b, all_a / by_a, all_b / by_b],
        )
    for by in ("self", "total"):
        changes = [abs(row.self_change if by == "self" else row.change) for row in found.top(0, by)]
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
def test_suffixes_of_compilers_are_removed(name, clean):
    assert clean_name(name) == clean


def test_kernel_and_user_functions_of_one_name_are_separate_and_library_versions_are_merged():
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
        (0, 20, Verdict.INCONCLUSIVE),
        (10, 15, Verdict.INCONCLUSIVE),
        (4000, 4900, Verdict.GROWN),
    ],
)
def test_verdicts(a, b, verdict):
    found = diff(one_frame(a), one_frame(b), DiffOptions(root="none"))
    assert found.verdict[[path[-1:] for path in paths(found.tree)].index(("it",))] == verdict
    back = diff(one_frame(b), one_frame(a), DiffOptions(root="none"))
    mirror = {Verdict.GROWN: Verdict.SHRUNK, Verdict.NEW: Verdict.GONE}
    mirror |= {second: first for first, second in mirror.items()}
    assert back.verdict[[path[-1:] for path in paths(back.tree)].index(("it",))] == mirror.get(verdict, verdict)


def test_a_small_change_among_few_samples_is_inconclusive():
    found = diff(one_frame(200, 1000), one_frame(230, 1000), DiffOptions(root="none"))
    assert found.counts["inconclusive"] >= 1
    assert found.counts["grown"] == 0


def test_total_and_self_verdicts_differ():
    before = profile_of([("x", ["main"], 5000), ("x", ["main", "leaf"], 1000)])
    after = profile_of([("x", ["main"], 5000), ("x", ["main", "leaf"], 9000)])
    found = diff(before, after, DiffOptions(per="second", root="none"))
    main = paths(found.tree).index(("main",))
    assert found.verdict[main] == Verdict.GROWN
    assert found.self_verdict[main] == Verdict.UNCHANGED


def test_input_of_another_verdict_rule():
    seen = []

    def rule(compared):
        seen.append(compared)
        return np.full(len(compared.rate_a), Verdict.INCONCLUSIVE, np.uint8)

    before, after = one_frame(5000), one_frame(8000)
    found = diff(before, after, DiffOptions(rule=rule))
    assert found.counts["inconclusive"] == len(found.tree)
    compared = seen[0]
    assert (compared.inclusive, seen[1].inclusive) == (True, False)
    assert len(compared.member_a) == len(before.samples)
    self_weight = np.bincount(compared.member_b, compared.after.samples.weight, len(found.tree))
    assert np.array_equal(self_weight, found.b.self_weight)
    assert found.top(1)[0].verdict == Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("options", "info", "message"),
    [
        ({"per": "request"}, {}, "number of requests is not known"),
        ({"per": "request", "requests_a": 0, "requests_b": 4}, {}, "number of requests is not known"),
        ({"per": "second"}, {"seconds": 0.0}, "length of one recording"),
        ({"per": "second"}, {"unit": "ns"}, "cannot be compared"),
        ({"per": "hour"}, {}, "Unknown normalization 'hour'"),
    ],
)
def test_a_normalization_without_its_numbers_is_refused(options, info, message):
    before = one_frame(100)
    after = replace(before, info=replace(before.info, **info))
    with pytest.raises(ProfileError, match=message) as caught:
        diff(before, after, DiffOptions(**options))
    assert caught.value.hint


def test_a_changed_share_of_unsymbolized_stacks_is_reported():
    known = profile_of([("x", ["a", "b"], 1000)])
    lost = profile_of([("x", ["a", Frame("[unknown]", "", Kind.UNKNOWN)], 300), ("x", ["a", "b"], 700)])
    [note] = diff(known, lost).notes
    assert "stacks with an unsymbolized leaf changed from 0.0% to 30.0%" in note
    [note] = diff(known, replace(known, info=replace(known.info, truncated=500))).notes
    assert "truncated stacks changed from 0.0% to 50.0%" in note
    assert diff(known, known).notes == ()


def test_weights_without_samples():
    weighed = one_frame(5000)
    weighed = replace(
        weighed,
        info=Info("off-cpu", "ns", 4.0),
        samples=replace(weighed.samples, count=np.zeros_like(weighed.samples.count)),
    )
    found = diff(weighed, weighed)
    assert found.a.total_samples is None
    assert "certainty" in found.notes[-1]
    assert found.counts["unchanged"] == len(found.tree)


def test_changes_are_inconclusive_where_noise_is_unknown():
    found = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none", rule=UnknownNoise("There are no times.")))
    assert found.counts["inconclusive"] == 2
    assert found.counts["unchanged"] == 1
    assert found.notes[-1].startswith("There are no times. So no change can be distinguished")


def test_frames_are_tinted_where_noise_is_unknown(tmp_path):
    """Tints for more and for less, with entries in the legend."""
    known = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none"))
    unknown = diff(one_frame(5000), one_frame(8000), DiffOptions(root="none", rule=UnknownNoise("No times.")))
    for found, label in ((known, "≈ noise"), (unknown, "? more: inconclusive")):
        write_diff(found, tmp_path / "diff.svg")
        picture = (tmp_path / "diff.svg").read_text("utf-8")
        assert label in picture
        colors = {name: re.search(rf'<g class="c(\d+)"><title>. {name}', picture)[1] for name in ("it", "rest")}
        assert colors["it"] != colors["rest"]


def test_notes_of_both_sides_are_merged():
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
    assert document["version"] == 2
    assert document["before"]["name"] == "old"
    assert document["normalization"] == {
        "per": "share",
        "unit": "%",
        "text": "Share of the total: 100,000 and 100,000 samples.",
    }
    assert "without statistics" in document["rule"]
    assert document["frames"]["name"] == ["all", *document["frames"]["name"][1:]]
    at = document["frames"]["name"].index("it")
    assert document["frames"]["total_before"][at] == 5.0
    assert document["frames"]["verdict"][at] == "grown"
    it = next(row for row in document["functions"] if row["name"] == "it")
    assert (it["total_before"], it["total_after"], it["verdict"]) == (5.0, 8.0, "grown")
    assert "frames" not in found.to_dict(frames=False)


def test_thresholds_are_described():
    assert "25%" in str(SimpleRule(relative=0.25))


@pytest.mark.parametrize("ending", [".html", ".svg"])
def test_written(tmp_path, ending):
    path = tmp_path / f"diff{ending}"
    write_diff(diff(one_frame(5000), one_frame(8000)), path, WriteOptions(title="The title"))
    assert "The title" in path.read_text("utf-8") or ending == ".html"
    assert path.stat().st_size > 5000


def test_formats_that_show_no_diff_are_refused(tmp_path):
    with pytest.raises(ProfileError):
        write_diff(diff(one_frame(5000), one_frame(8000)), tmp_path / "diff.txt")
    assert list(tmp_path.iterdir()) == []
