"""Folded stacks: reading, writing, and round trips."""

import gzip
import random
import tracemalloc

import numpy as np
import pytest

from flamegraph import BrokenProfileError, ProfileError, ReadOptions, read
from flamegraph.builder import Builder
from flamegraph.foldedtext import escape, unescape
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info
from flamegraph.readers import folded as reader
from flamegraph.tree import build
from flamegraph.writers import WriteOptions
from flamegraph.writers.folded import render


@pytest.fixture
def parse(tmp_path):
    def parse(text, **options):
        path = tmp_path / "x.folded"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path, ReadOptions(**options))

    return parse


def profile(*rows, info=None):
    """A profile of rows (thread, frames, weight)."""
    builder = Builder()
    for thread, frames, weight in rows:
        stack = builder.stack([builder.frame(frame) for frame in frames])
        builder.add(stack, builder.thread(thread), weight=weight)
    return builder.profile(info or Info())


NOBODY = Thread(-1, -1, "")
ANNOTATED = WriteOptions(annotate_kernel=True, annotate_jit=True)


@pytest.mark.parametrize(
    "text",
    [
        "a;b 2\na;b;c 1\na;d 3.25\n",
        "a 12345678901234\n",
        "java;Lx:::y_[j];read_[k];inlined_[i] 7\n",
        "a; ;b 1\na;;b 2\na;[[vdso]]_[k] 4\na;[libc.so.6] 3\n",
        "node;LazyCompile:*x /a b/c.js:39;RegExp:\\bFoo ?Bar 1\nnode;operator new 12 5\n",
        "a;\\x1b[31m 1\na;\\x5cx1b 2\n",
        " 5\n",
        "ä;ö 1e-07\n",
    ],
)
def test_same_lines_again(parse, text):
    assert render(parse(text), ANNOTATED).decode() == text
    for root in ("none", "comm", "pid", "tid"):
        assert render(parse(text), WriteOptions(root=root, annotate_kernel=True, annotate_jit=True)).decode() == text


def test_parsed_frames_and_weights(parse):
    found = parse("a;k_[k];[x] 2\na;k_[k] 3\n\n  \n# a comment\na;k_[k] 5\r\n")
    assert list(found.frames) == [Frame("a"), Frame("k", "", Kind.KERNEL), Frame("[x]", "", Kind.UNKNOWN)]
    assert list(found.threads) == [NOBODY]
    assert (found.total, found.count, found.info.unit, found.info.interval_s) == (10, 0, "samples", 0)
    assert found.unsymbolized_share == pytest.approx(0.2)
    assert render(found, WriteOptions()) == b"a;k 8\na;k;[x] 2\n"


def test_an_unknown_thread_has_no_frame(parse):
    tree = build(parse("a;b 2\nc 3\n"))
    assert sorted(tree.frames[frame].name for frame in tree.frame[1:].tolist()) == ["a", "b", "c"]
    assert tree.depth.tolist() == [0, 1, 1, 2]


def test_a_known_thread_has_a_frame():
    found = profile((Thread(1, 2, "x"), [Frame("a")], 1), (NOBODY, [Frame("a")], 2), (NOBODY, [Frame("b")], 4))
    tree = build(found, "pid")
    names = [tree.frames[frame].name for frame in tree.frame[1:].tolist()]
    weights = tree.total_weight(found.samples.weight).tolist()
    assert sorted(zip(names, weights[1:], strict=True)) == [("a", 1), ("a", 2), ("b", 4), ("x-1", 1)]
    assert weights[0] == 7


def test_pid_and_tid():
    found = profile((Thread(-1, 7, "a b"), [Frame("f")], 1), (Thread(3, 8, "c"), [], 2))
    assert render(found, WriteOptions(root="pid")) == b"a_b-?;f 1\nc-3 2\n"
    assert render(found, WriteOptions(root="tid")) == b"a_b-?/7;f 1\nc-3/8 2\n"
    assert render(found, WriteOptions(root="none")) == b" 2\nf 1\n"
    with pytest.raises(ValueError, match="root"):
        render(found, WriteOptions(root="x"))


def test_names_that_would_break_lines():
    found = profile((Thread(1, 1, "a;b\nc"), [Frame("x;y\r\n"), Frame("\x1b[1m\u2028\x00"), Frame("\ud800")], 1))
    assert render(found, WriteOptions()) == b"a:b\\x0ac;x:y\\x0d\\x0a;\\x1b[1m\\u2028\\x00;\\ud800 1\n"


def test_sorted_by_bytes():
    found = profile(*((NOBODY, [Frame(name)], 1) for name in ("b", "ä", "B", "a b", "a;", "a", "\U0001f525", "\uffee")))
    lines = render(found, WriteOptions()).splitlines()
    assert lines == sorted(lines, key=lambda line: line.rpartition(b" ")[0])


@pytest.mark.parametrize("seed", range(20))
def test_round_trip(parse, seed):
    rng = random.Random(seed)
    alphabet = "ab \\x1b5c0_[]k:'\"<>&\n\t\x00\x7f\x85\u2028\u202eä\U0001f525()"
    names = ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 9))) for _ in range(30)]
    names = [name for name in names if name[-4:] not in ("_[k]", "_[j]", "_[i]")]
    kinds = (Kind.USER, Kind.KERNEL, Kind.JIT, Kind.INLINED)
    written = profile(
        *(
            (NOBODY, [Frame(rng.choice(names), "", rng.choice(kinds)) for _ in range(rng.randrange(1, 6))], weight)
            for weight in rng.sample(range(1, 999), 40)
        )
    )
    text = render(written, ANNOTATED)
    found = parse(text)
    assert render(found, ANNOTATED) == text
    assert found.total == written.total
    assert {frame.name for frame in found.frames} == {frame.name.replace(";", ":") for frame in written.frames}


@pytest.mark.parametrize(
    "name", ["\\x1b", "\\x5c", "\\\\x5cx1b", "\x1b", "\\", "\\bFoo", "\\x41", "\\u2028", "a\u2029"]
)
def test_escapes(name):
    assert unescape(escape(name)) == name


def test_escapes_are_few():
    assert escape("RegExp:\\bFoo\\x41\\d") == "RegExp:\\bFoo\\x41\\d"


def test_invalid_utf8(parse):
    found = parse(b"a;\xff\x85b 1\n")
    assert found.frames[1].name == "\\xff\\x85b"
    assert parse(render(found, WriteOptions())).frames[1].name == "\\xff\\x85b"


def test_differential_is_refused(parse):
    with pytest.raises(ProfileError, match="two columns") as error:
        parse("a;b 1 2\na;c 3 0\n")
    assert "--diff" in error.value.hint
    assert parse("a;b 1 2\na;c 3\n").total == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a 1\nb\nc 3\n", 2),
        ("a 1\n\nb -3\n", 3),
        ("a 1\nb 1e999\n", 2),
        ("a 1\nb nan\n", 2),
        ("a 1\nb 0x12\n", 2),
        ("a 1\n\0 3\n", 2),
        ("a 1\nb;c", 2),
    ],
)
def test_broken(parse, text, line):
    with pytest.raises(BrokenProfileError, match=f"Line {line} "):
        parse(text)
    saved = parse(text, salvage=True)
    assert render(saved, WriteOptions()) == b"a 1\n"
    assert f"Line {line} " in " ".join(saved.info.notes)


def test_truncated_at_each_byte(parse):
    text = "main;one;two 12\nmain;one;three 345\n" * 2
    for length in range(16, len(text)):
        try:
            found = parse(text[:length])
        except BrokenProfileError:
            found = parse(text[:length], salvage=True)
            assert found.info.notes
        if text[length - 1] != "\n":
            assert found.info.notes
        assert {frame.name for frame in found.frames} <= {"main", "one", "two", "three"}


def test_long_line(parse, monkeypatch):
    monkeypatch.setattr("flamegraph.readers.source.CHUNK", 1 << 16)
    monkeypatch.setattr("flamegraph.readers.source.LONGEST_LINE", 1 << 18)
    tracemalloc.start()
    with pytest.raises(BrokenProfileError, match="Line 2 is longer than 262144 bytes"):
        parse("a 1\n" + "a;" * (1 << 24))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 32 MiB are the test's own text, twice.
    assert peak < 80 << 20


def test_gzip_bomb(tmp_path, monkeypatch):
    """50 MB decompressed, read as a stream."""
    with gzip.open(tmp_path / "x.gz", "wb", 9) as file:
        for _ in range(100):
            file.write((b"a" * 1000 + b" 1\n") * 500)
    assert (tmp_path / "x.gz").stat().st_size < 200_000
    monkeypatch.setattr("flamegraph.readers.source.CHUNK", 1 << 16)
    tracemalloc.start()
    assert read(tmp_path / "x.gz").total == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_deep(parse):
    text = ";".join(f"f{i % 7}" for i in range(300_000)) + " 1\n"
    assert parse(text).stacks.depth.tolist() == [300_000]
    assert render(parse(text), WriteOptions()).decode() == text


@pytest.mark.parametrize("text", ["hello world\n", "{}\n", "<html>\n", "\0\0 1\n", "", "x 1.0: cycles:\n\t1 a (/x)\n"])
def test_not_recognised(text):
    assert not reader.recognises(text.encode())


def test_files(parse, tmp_path):
    found = parse("a;b 1\n")
    for suffix in ("folded", "txt", "collapsed"):
        found.write(tmp_path / f"out.{suffix}")
        assert (tmp_path / f"out.{suffix}").read_text() == "a;b 1\n"


def test_threads_of_one_name_are_one_line():
    found = profile(*((Thread(i, i, "x"), [Frame("f")], 1.5) for i in range(10)))
    assert render(found, WriteOptions()) == b"x;f 15\n"
    assert render(found.filter(thread="y"), WriteOptions()) == b""
    assert np.all(found.samples.count == 1)


@pytest.mark.parametrize(
    ("unit", "weight", "known"), [("", 12, "samples"), ("us", 12_000, "ns"), ("cycles", 12, "cycles")]
)
def test_the_unit_option(tmp_path, unit, weight, known):
    path = tmp_path / "a.folded"
    path.write_text("a;b 12\n")
    profile = read(path, ReadOptions(unit=unit))
    assert (profile.total, profile.info.unit) == (weight, known)


def test_a_byte_order_mark_is_not_part_of_a_name(tmp_path):
    path = tmp_path / "a.folded"
    path.write_bytes(b"\xef\xbb\xbfa;b 12\n")
    assert [frame.name for frame in read(path).frames] == ["a", "b"]
    path.write_text("a;b 12\n", "utf-16")
    with pytest.raises(ProfileError, match="UTF-16") as caught:
        read(path)
    assert "iconv" in caught.value.hint


def test_corruption_names_the_option(tmp_path):
    path = tmp_path / "a.folded"
    path.write_text("a;b 12\nbroken\n")
    with pytest.raises(BrokenProfileError) as caught:
        read(path)
    assert "--salvage" in caught.value.hint
