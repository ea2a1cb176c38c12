"""Profiles of one recording in formats with different metadata are equal in a diff."""

from dataclasses import replace

import pytest

import flamegraph
from flamegraph import ReadOptions
from flamegraph.builder import Builder
from flamegraph.diff import DiffOptions, diff
from flamegraph.flame_graph import FlameGraph
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info

KERNEL = ("tcp_sendmsg", "[kernel]", Kind.KERNEL)


@pytest.fixture
def whole():
    """Threads with blanks and numbers in their names, functions with `;`, of the kernel, of both."""
    builder = Builder()
    rows = [
        (
            Thread(7, 7, "nginx: worker"),
            [("main", "/nginx", Kind.USER), ("serve;it", "/nginx", Kind.USER), KERNEL],
            600,
        ),
        (Thread(7, 8, "aio-1"), [("main", "/nginx", Kind.USER), ("read", "/libc.so", Kind.USER)], 300),
        (Thread(7, 8, "aio-1"), [("main", "/nginx", Kind.USER), ("read", "[kernel]", Kind.KERNEL)], 100),
    ]
    for thread, frames, weight in rows:
        numbers = [builder.frame(Frame(*frame)) for frame in frames]
        builder.add(builder.stack(numbers), builder.thread(thread), count=weight, weight=1000.0 * weight)
    return builder.profile(Info("cpu-clock", "ns", 4.0))


def words(found):
    return {word for word, count in found.counts.items() if count}


@pytest.mark.parametrize("root", ["comm", "pid", "tid"])
@pytest.mark.parametrize("other", ["whole", "pprof"])
def test_folded_text_of_the_same(whole, tmp_path, root, other):
    FlameGraph.of(whole).write(tmp_path / "a.folded", root=root)
    FlameGraph.of(whole).write(tmp_path / "a.pb.gz")
    folded = flamegraph.read(tmp_path / "a.folded", ReadOptions(unit="ns"))
    rich = whole if other == "whole" else flamegraph.read(tmp_path / "a.pb.gz")
    for before, after in ((rich, folded), (folded, rich)):
        found = diff(before, after, DiffOptions(name_a="one", name_b="two"))
        assert words(found) == {"unchanged"}
        assert found.tree.depth.max() == 4
        assert {row.frame.name for row in found.top(0)} == {"main", "serve:it", "read", "tcp_sendmsg"}
        poor = "two" if after is folded else "one"
        assert f"{poor} has no thread names" in found.notes[0]
        assert "recognised by their names" in found.notes[1]
        assert "merged here: read." in found.notes[1]


def test_annotated_folded_text_keeps_the_kernel_apart(whole, tmp_path):
    FlameGraph.of(whole).write(tmp_path / "a.folded", annotate_kernel=True)
    found = diff(whole, flamegraph.read(tmp_path / "a.folded"))
    assert [row.frame.name for row in found.top(0)].count("read") == 2
    assert not any("kernel's" in note for note in found.notes)


def test_threads_that_one_side_lacks_are_skipped(whole, tmp_path):
    FlameGraph.of(whole).write(tmp_path / "a.folded", root="none")
    found = diff(whole, flamegraph.read(tmp_path / "a.folded"), DiffOptions(name_a="one", name_b="two"))
    assert words(found) == {"unchanged"}
    assert found.notes[0] == "one: threads are ignored, since two has no thread names."


def test_equal_metadata_is_not_changed(whole):
    assert diff(whole, whole).notes == ()
    nameless = replace(whole, threads=[Thread(-1, -1, "")] * len(whole.threads))
    assert diff(nameless, nameless).notes == ()
    nobody = whole.filter(thread="nobody")
    assert words(diff(nobody, whole)) == {"new"}
