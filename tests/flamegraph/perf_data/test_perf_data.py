"""perf.data of every layout, written by the test; expectations follow from the format alone."""

import gzip
import itertools
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from flamegraph import ProfileError, ReadOptions
from flamegraph import read as read_any
from flamegraph.frames import Kind, Thread
from flamegraph.readers import perfdata

# No such file: frames show the module, so that a stack tells which mapping each address was found in.
A, B, C = "/nowhere/a", "/nowhere/b", "/nowhere/c"


def test_one_sample(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.comm("worker"),
        event.mmap2(A, 0x1000, 0x1000),
        event.mmap2(B, 0x2000, 0x1000),
        event.sample([perf.user, 0x1010, 0x2020, 0x9000], time=5_000_000_000, period=77),
    )
    profile = perf.read(path)
    assert perf.stacks(profile) == {("worker", 10, 10, ("[unknown]", "[b]", "[a]")): 1}
    assert profile.samples.weight.tolist() == [77]
    assert (profile.info.event, profile.info.unit, profile.info.lost, profile.info.truncated) == (
        "cpu-clock",
        "ns",
        0,
        0,
    )
    assert [frame.module for frame in profile.frames if frame.name == "[a]"] == [A]
    assert {frame.kind for frame in profile.frames} == {Kind.UNKNOWN}


def test_a_caller_is_looked_up_before_its_return_address(perf, save):
    event = perf.event()
    # 0x2000 is the first byte of b: as an instruction it is in b, as a return address the call was in a.
    path = save(
        [event],
        event.mmap2(A, 0x1000, 0x1000),
        event.mmap2(B, 0x2000, 0x1000),
        event.sample([perf.user, 0x2000, 0x2000]),
    )
    assert [key[3] for key in perf.stacks(perf.read(path))] == [("[a]", "[b]")]


@pytest.mark.parametrize(
    "extra",
    [sum(bits) for n in range(3) for bits in itertools.combinations([1 << b for b in (2, 3, 6, 7, 8, 9, 10, 16)], n)],
)
def test_every_field_before_the_chain(perf, save, extra):
    """The mandatory two fields with any two others."""
    event = perf.event(perf.tid | perf.callchain | perf.ip | extra, period=500)
    samples = [event.sample([perf.user, 0x1010 + n], time=100 + n, period=9) for n in range(3)]
    profile = perf.read(save([event], event.comm("w"), event.mmap(A, 0x1000, 0x1000), *samples))
    assert perf.stacks(profile) == {("w", 10, 10, ("[a]",)): 3}
    assert profile.total == 3 * (9 if extra & perf.period else 500)
    assert bool(profile.info.interval_s) == bool(extra & perf.time)


@pytest.mark.parametrize("size", [64, 72, 80, 96, 104, 112, 120, 128, 136])
def test_attributes_of_every_size(perf, save, size):
    event = perf.event(size=size)
    assert perf.read(save([event], event.sample([perf.user, 0x10]))).count == 1


def test_attribute_entries_larger_than_the_attribute(perf, save):
    """perf 6 writes entries of 136 + 16 bytes for attributes of size 128."""
    event = perf.event(size=136)
    event.attr = event.attr[:4] + struct.pack("<I", 128) + event.attr[8:]
    assert perf.read(save([event], event.sample([perf.user, 0x10]))).count == 1


@pytest.mark.parametrize(
    ("read_format", "values"),
    [
        (0, [1]),
        (4, [1, 2]),
        (1 | 2 | 4 | 16, [1, 2, 3, 4, 5]),
        (8, [2, 11, 12]),
        (8 | 4, [2, 11, 1, 12, 2]),
        (8 | 4 | 16 | 1 | 2, [3, 90, 91, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (8, [0]),
    ],
)
def test_counter_values_in_a_sample(perf, save, read_format, values):
    event = perf.event(perf.usual | perf.read_bit, read_format=read_format)
    read = struct.pack(f"<{len(values)}Q", *values)
    path = save([event], event.mmap2(A, 0x1000, 0x1000), event.sample([perf.user, 0x1010], read=read))
    assert [key[3] for key in perf.stacks(perf.read(path))] == [("[a]",)]


def test_samples_without_chains(perf, save):
    event = perf.event(perf.ip | perf.tid | perf.time)
    path = save([event], event.mmap2(A, 0x1000, 0x1000), event.sample(None, ip=0x1000), event.sample(None, ip=0x9000))
    assert Counter(key[3] for key in perf.stacks(perf.read(path)).elements()) == {("[a]",): 1, ("[unknown]",): 1}


def test_chains_without_frames(perf, save):
    event = perf.event()
    profile = perf.read(save([event], event.comm("idle"), event.sample([]), event.sample([perf.user])))
    assert perf.stacks(profile) == {("idle", 10, 10, ()): 2}


def test_order_of_frames_and_recursion(perf, save):
    """Equal frames in another order are another stack; nine frames look like the header of a sample."""
    event = perf.event()
    maps = [event.mmap2(path, base, 0x1000) for path, base in ((A, 0x1000), (B, 0x2000), (C, 0x3000))]
    chains = [[0x1010, 0x2010, 0x1010], [0x1010, 0x1010, 0x2010], [0x2010, 0x1010, 0x1010], [0x3010] * 8]
    profile = perf.read(save([event], *maps, *(event.sample([perf.user, *chain]) for chain in chains)))
    assert sorted(key[3] for key in perf.stacks(profile)) == sorted(
        tuple({1: "[a]", 2: "[b]", 3: "[c]"}[ip >> 12] for ip in reversed(chain)) for chain in chains
    )


def test_unknown_stacks_of_different_depths(perf, save):
    """Stacks without names stay separate."""
    event = perf.event()
    records = [event.sample([perf.user, *range(0x9000, 0x9000 + depth)]) for depth in (1, 2, 3, 3, 40)]
    stacks = perf.stacks(perf.read(save([event], *records)))
    assert Counter({len(key[3]): count for key, count in stacks.items()}) == {1: 1, 2: 1, 3: 2, 40: 1}


def test_two_thousand_random_stacks(perf, save):
    """Compared with a count in plain Python: rounds, other records and samples mixed, more than one chunk."""
    import random

    random.seed(5)
    event = perf.event()
    names = [f"/nowhere/f{n}" for n in range(50)]
    pool = [tuple(random.randrange(50) for _ in range(random.randrange(130))) for _ in range(2000)]
    records = [event.mmap2(name, 0x10000 * (n + 1), 0x1000) for n, name in enumerate(names)]
    expected: Counter[tuple[str, ...]] = Counter()
    for time in range(12_000):
        stack = random.choice(pool)
        records.append(event.sample([perf.user, *(0x10000 * (n + 1) + 0x10 for n in stack)], time=time))
        expected[tuple(f"[f{n}]" for n in reversed(stack))] += 1
        if random.random() < 0.1:
            records.append(
                random.choice([perf.round, perf.round * 2, event.lost(0, time=time), event.comm("x", pid=99)])
            )
    profile = perf.read(save([event], *records))
    assert len(b"".join(records)) > 5 << 20
    assert Counter({key[3]: count for key, count in perf.stacks(profile).items()}) == expected


def test_names_and_maps_in_time(perf, save):
    """Records are out of order between two ends of rounds; their times are decisive."""
    event = perf.event()
    sample = [perf.user, 0x1010]
    path = save(
        [event],
        event.comm("parent"),
        event.mmap2(A, 0x1000, 0x1000),
        event.sample(sample, time=500, pid=11),
        event.sample(sample, time=100),
        event.sample(sample, time=300, pid=11),
        event.comm("renamed", time=150),
        event.sample(sample, time=200),
        event.sample(sample, time=410, pid=11),
        event.mmap2(B, 0x1000, 0x1000, pid=11, time=450),
        event.fork(11, 10, time=250),
        event.comm("child", pid=11, time=400, executed=True),
        perf.round,
        event.sample(sample, time=600),
        perf.round,
        event.sample(sample, time=700),
    )
    assert perf.stacks(perf.read(path)) == {
        ("parent", 10, 10, ("[a]",)): 1,
        ("renamed", 10, 10, ("[a]",)): 3,
        ("renamed", 11, 11, ("[a]",)): 1,
        ("child", 11, 11, ("[unknown]",)): 1,
        ("child", 11, 11, ("[b]",)): 1,
    }


def test_a_fork_inherits_the_maps_of_its_time(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.mmap2(A, 0x1000, 0x1000),
        event.fork(11, 10, time=10),
        event.mmap2(B, 0x1000, 0x1000, time=20),
        event.mmap2(C, 0x5000, 0x1000, pid=11, time=20),
        event.sample([perf.user, 0x1010, 0x5010], time=30),
        event.sample([perf.user, 0x1010, 0x5010], time=30, pid=11),
    )
    found = {key[1]: key[3] for key in perf.stacks(perf.read(path))}
    assert found == {10: ("[unknown]", "[b]"), 11: ("[c]", "[a]")}


def test_a_synthesized_fork_inherits_no_maps(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.mmap2(A, 0x1000, 0x1000),
        event.fork(11, 10, made_up=True),
        event.sample([perf.user, 0x1010], pid=11),
    )
    assert [key[3] for key in perf.stacks(perf.read(path))] == [("[unknown]",)]


def test_threads_share_maps_and_have_names(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.comm("main"),
        event.fork(10, 10, tid=12, time=5),
        event.mmap2(A, 0x1000, 0x1000, time=6),
        event.sample([perf.user, 0x1010], tid=12, time=7),
        event.comm("pool", tid=12, time=8),
        event.sample([perf.user, 0x1010], tid=12, time=9),
        event.exit(12, time=10),
        event.sample([perf.user, 0x1010], tid=13, time=11),
    )
    assert perf.stacks(perf.read(path)) == {
        ("main", 10, 12, ("[a]",)): 1,
        ("pool", 10, 12, ("[a]",)): 1,
        (":13", 10, 13, ("[a]",)): 1,
    }


def test_a_mapping_that_covers_part_of_another(perf, save):
    event = perf.event()
    chain = [perf.user, 0x1010, 0x3010, 0x5010]
    path = save(
        [event],
        event.mmap2(A, 0x1000, 0x8000),
        event.sample(chain, time=5),
        event.mmap2(B, 0x3000, 0x1000, time=10),
        event.sample(chain, time=15),
    )
    assert sorted(key[3] for key in perf.stacks(perf.read(path))) == [("[a]", "[a]", "[a]"), ("[a]", "[b]", "[a]")]


def test_records_without_times_apply_in_the_order_of_the_file(perf, save):
    event = perf.event(flags=0)
    sample = event.sample([perf.user, 0x1010], time=1)
    path = save([event], event.comm("one"), sample, event.comm("two"), sample, event.mmap2(A, 0x1000, 0x100), sample)
    assert perf.stacks(perf.read(path)) == {
        ("one", 10, 10, ("[unknown]",)): 1,
        ("two", 10, 10, ("[unknown]",)): 1,
        ("two", 10, 10, ("[a]",)): 1,
    }


def test_bpf_programs_by_time(perf, save):
    event = perf.event()
    chain = [perf.kernel, 0xFFFFFFFFC0001010]
    path = save(
        [event],
        event.ksymbol(0xFFFFFFFFC0001000, 0x100, "bpf_prog_1_first", time=10),
        event.sample(chain, time=20, misc=1),
        event.ksymbol(0xFFFFFFFFC0001000, 0x100, "bpf_prog_1_first", time=30, gone=True),
        event.ksymbol(0xFFFFFFFFC0001000, 0x100, "bpf_prog_2_second", time=40),
        event.sample(chain, time=50, misc=1),
    )
    profile = perf.read(path)
    assert sorted(key[3] for key in perf.stacks(profile)) == [("bpf_prog_1_first",), ("bpf_prog_2_second",)]
    assert {frame.kind for frame in profile.frames if frame.name.startswith("bpf")} == {Kind.KERNEL}


def test_a_module_of_another_kernel(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.mmap("[kernel.kallsyms]_text", 0xFFFFFFFF81000000, 0x1000000, pid=-1, offset=0xFFFFFFFF81000000, misc=1),
        event.mmap("/lib/modules/1.2/nf_tables.ko.xz", 0xFFFFFFFFC0000000, 0x10000, pid=-1, misc=1),
        event.sample([perf.kernel, 0xFFFFFFFFC0000010, 0xFFFFFFFF81000100], misc=1),
        features={4: perf.feature_string("1.2.3-other")},
    )
    profile = perf.read(path)
    assert [key[3] for key in perf.stacks(profile)] == [("[[kernel.kallsyms]]", "[nf_tables]")]
    assert any("1.2.3-other" in note for note in profile.info.notes)


def test_kernel_of_another_boot(perf, save):
    """KASLR: the same kernel with its text at another address."""
    event = perf.event()
    path = save(
        [event],
        event.mmap("[kernel.kallsyms]_text", 0xFFFFFFFFA7000000, 0x1000000, pid=-1, offset=0xFFFFFFFFA7000000, misc=1),
        event.sample([perf.kernel, 0xFFFFFFFFA7000100], misc=1),
        features={4: perf.feature_string(os.uname().release)},
    )
    profile = perf.read(path)
    if os.geteuid() == 0:
        assert any("rebooted" in note for note in profile.info.notes)
        assert [key[3] for key in perf.stacks(profile)] == [("[[kernel.kallsyms]]",)]


def test_code_of_a_jit(perf, save):
    event = perf.event()
    pid = 4_100_000  # above the largest there can be on Linux of 32768, and nobody's here
    map_file = Path(f"/tmp/perf-{pid}.map")
    map_file.write_text("70000010 20 hot->inner\n")
    try:
        path = save(
            [event],
            event.mmap2("//anon", 0x70000000, 0x1000, pid=pid),
            event.sample([perf.user, 0x70000018, 0x70000900], pid=pid),
        )
        profile = perf.read(path)
    finally:
        map_file.unlink()
    assert [key[3] for key in perf.stacks(profile)] == [(f"[perf-{pid}.map]", "hot", "inner")]
    assert {
        frame.name: frame.kind for frame in profile.frames if "perf" not in frame.name and frame.name != "[unknown]"
    } == {
        "hot": Kind.JIT,
        "inner": Kind.INLINED,
        "hot->inner": Kind.JIT,
    }


def test_addresses_on_request(perf, save):
    event = perf.event()
    path = save([event], event.mmap2(A, 0x1000, 0x1000, offset=0x400), event.sample([perf.user, 0x1010, 0x1020, 0x99]))
    assert [key[3] for key in perf.stacks(perf.read(path, addresses=True))] == [
        ("[unknown <99>]", "[a <420>]", "[a <410>]")
    ]


def two_events(perf):
    first = perf.event(number=1, kind=0, config=0, name="cycles:P")
    second = perf.event(number=2, kind=0, config=1, name="instructions")
    dummy = perf.event(number=3, config=9, name="dummy:u")
    records = [
        first.sample([perf.user, 0x1010], time=1, period=5),
        second.sample([perf.user, 0x2010], time=2, period=7),
        second.sample([perf.user, 0x2010], time=3, period=7),
    ]
    return [first, second, dummy], records


@pytest.mark.parametrize("form", ["write_file", "write_pipe"])
def test_several_events(perf, tmp_path, form):
    events, records = two_events(perf)
    path = getattr(perf, form)(tmp_path / "perf.data", events, records)
    profile = perf.read(path)
    assert (profile.count, profile.total, profile.info.event) == (1, 5, "cycles")
    assert (profile.info.unit, profile.info.other_events) == ("cycles", ("instructions",))
    for name in ("cycles", "cycles:P"):
        assert perf.read(path, event=name).total == 5
    profile = perf.read(path, event="instructions")
    assert (profile.count, profile.total, profile.info.other_events) == (2, 14, ("cycles",))
    with pytest.raises(ProfileError, match="no event page-faults") as failure:
        perf.read(path, event="page-faults")
    assert failure.value.hint == "It has: cycles, instructions."


def test_events_with_different_layouts(perf, save):
    """Distinguished by the identifier, the first field of each."""
    first = perf.event(perf.identifier | perf.ip | perf.tid | perf.time | perf.callchain, number=1, kind=0, period=3)
    second = perf.event(
        perf.identifier | perf.tid | perf.callchain | perf.period | perf.raw, number=2, kind=0, config=1
    )
    records = [first.sample([perf.user, 0x10], time=4), second.sample([perf.user, 0x20, 0x30], period=8)]
    path = save([first, second], *records)
    assert perf.read(path).total == 3
    assert perf.read(path, event="instructions").total == 8


def test_events_that_cannot_be_distinguished(perf, save):
    first = perf.event(perf.ip | perf.tid | perf.callchain, number=1, kind=0)
    second = perf.event(perf.ip | perf.tid | perf.id | perf.callchain, number=2, kind=0, config=1)
    with pytest.raises(ProfileError, match="cycles, instructions cannot be distinguished"):
        perf.read(save([first, second], first.sample([perf.user, 0x10])))


def test_lost_samples_are_counted_once(perf, save):
    event = perf.event()
    path = save(
        [event],
        event.lost(5),
        event.lost(6),
        event.lost_samples(11),
        event.lost_samples(100, misc=1 << 15),
        event.sample([]),
    )
    assert perf.read(path).info.lost == 11
    assert perf.read(save([event], event.lost_samples(4), event.sample([]))).info.lost == 4


@pytest.mark.parametrize(("limit", "cut"), [(0, 1), (5, 2)])
def test_stacks_at_the_limit(perf, save, limit, cut):
    event = perf.event(max_stack=limit)
    chains = [[perf.kernel, 0x1, perf.user, *range(1, n)] for n in (4, 5, 127)]
    assert perf.read(save([event], *(event.sample(chain) for chain in chains))).info.truncated == cut


def test_time_intervals(perf, save):
    event = perf.event()
    times = [10**18 + n * 10**8 + 5 for n in (0, 0, 3, 599)]
    profile = perf.read(save([event], *(event.sample([perf.user, 0x10], time=time) for time in times)))
    assert (profile.info.intervals, profile.info.interval_s, round(profile.info.seconds, 6)) == (600, 0.1, 59.9)
    assert list(zip(profile.samples.interval.tolist(), profile.samples.count.tolist(), strict=True)) == [
        (0, 2),
        (3, 1),
        (599, 1),
    ]


def test_long_recordings_have_longer_intervals(perf, save):
    event = perf.event()
    times = [10**9 + n * 10**8 for n in range(0, 5000, 10)]
    profile = perf.read(save([event], *(event.sample([perf.user, 0x10], time=time) for time in times)))
    assert (profile.info.interval_s, profile.info.intervals, profile.count) == (1.6, 312, 500)
    assert max(profile.samples.interval.tolist()) == 311


def test_samples_before_the_first_of_the_file(perf, save):
    event = perf.event()
    times = [10**10, 10**10 - 250_000_000, 10**10 + 50_000_000]
    profile = perf.read(save([event], *(event.sample([perf.user, 0x10], time=time) for time in times)))
    assert profile.count == 3
    assert profile.info.intervals == 4
    assert profile.samples.interval.min() == 0


def packed(data: bytes, kind: int, size: int = 300) -> list[bytes]:
    """As `perf record -z` writes: one zstd stream, split anywhere."""
    stream = zstandard.ZstdCompressor().compressobj()
    whole = stream.compress(data[: len(data) // 2]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    whole += stream.compress(data[len(data) // 2 :]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    if kind == 81:
        return [struct.pack("<IHH", 81, 0, 8 + len(piece)) + piece for piece in pieces]
    return [
        struct.pack("<IHHQ", 83, 0, 16 + len(piece) + -len(piece) % 8, len(piece)) + piece + b"\0" * (-len(piece) % 8)
        for piece in pieces
    ]


@pytest.mark.parametrize("kind", [81, 83])
@pytest.mark.parametrize("form", ["write_file", "write_pipe"])
def test_compressed_records(perf, tmp_path, kind, form):
    event = perf.event()
    plain = [event.comm("first"), event.mmap2(A, 0x1000, 0x1000)]
    inner = [event.sample([perf.user, 0x1010, 0x100000 * n], time=n) for n in range(400)]
    inner.insert(200, event.comm("second", time=200))
    records = packed(b"".join(inner), kind)
    # perf's own records stand between the compressed ones.
    mixed = [piece for one in records for piece in (one, perf.round)]
    profile = perf.read(getattr(perf, form)(tmp_path / "perf.data", [event], [*plain, *mixed]))
    assert profile.count == 400
    assert Counter(key[0] for key in perf.stacks(profile).elements()) == {"first": 200, "second": 200}


def test_forms_of_one_recording(perf, tmp_path):
    """A file, its gzip, a stream, standard input and a FIFO give equal profiles."""
    event = perf.event(name="cpu-clock")
    records = [event.comm("w"), event.mmap2(A, 0x1000, 0x1000)]
    records += [event.sample([perf.user, 0x1000 + n % 7, 0x5000 + n % 11], time=n) for n in range(3000)]
    plain = perf.write_file(tmp_path / "plain", [event], records)
    piped = perf.write_pipe(tmp_path / "piped", [event], records)
    expected = perf.stacks(perf.read(plain))
    assert sum(expected.values()) == 3000
    for path in (plain, piped):
        packed_file = tmp_path / f"{path.name}.gz"
        packed_file.write_bytes(gzip.compress(path.read_bytes()))
        assert perf.stacks(perf.read(path)) == perf.stacks(perf.read(packed_file)) == expected
        program = "import sys, flamegraph; p = flamegraph.read('-'); print(p.count, len(p.stacks), p.info.event)"
        for stdin in ({"stdin": path.open("rb")}, {"input": path.read_bytes()}):
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, **stdin)
            assert done.stdout.decode().split() == ["3000", "1", "cpu-clock"]


def test_payloads_that_are_not_part_of_their_record(perf, save, tmp_path):
    event = perf.event()
    trace = perf.record(71, 0, struct.pack("<QQQIIII", 4096, 0, 0, 0, 0, 0, 0)) + b"\x09" * 4096
    path = save([event], event.sample([]), trace, event.sample([]))
    assert perf.read(path).count == 2
    tracing = struct.pack("<IHHI", 66, 0, 12, 24) + b"t" * 24
    path = perf.write_pipe(tmp_path / "piped", [event], [event.sample([]), tracing, event.sample([])])
    assert perf.read(path).count == 2


def test_the_other_byte_order_is_refused(tmp_path):
    path = tmp_path / "perf.data"
    path.write_bytes(b"2ELIFREP" + struct.pack(">8Q", 104, 144, 104, 0, 104, 0, 0, 0) + b"\0" * 32)
    with pytest.raises(ProfileError, match="big-endian recording, which this little-endian machine") as failure:
        read_any(path)
    assert "big-endian machine" in failure.value.hint


def test_recognised(tmp_path, perf):
    assert perfdata.recognises(b"PERFILE2....")
    assert perfdata.recognises(b"2ELIFREP....")
    assert not perfdata.recognises(b"PERFFILE....")
    event = perf.event()
    path = perf.write_file(tmp_path / "x", [event], [event.sample([perf.user, 1])])
    assert read_any(path, ReadOptions(downloads=False)).threads == [Thread(10, 10, ":10")]


def test_hostile_names(perf, save):
    event = perf.event()
    body = struct.pack("<ii", 10, 10) + b"\xff\xfe<b>\x1b\0\0"
    body += b"\0" * (-len(body) % 8)
    path = save(
        [event],
        event.other(3, body),
        event.mmap2("/tmp/</script>\u202e", 0x1000, 0x1000),
        event.sample([perf.user, 0x1010]),
    )
    ((comm, _, _, stack),) = perf.stacks(perf.read(path))
    assert comm == "\ufffd\ufffd<b>\x1b"
    assert stack == ("[script>\u202e]",)
    comm.encode()


def test_unwinding_without_perf(perf, save, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for event, option in (
        (perf.event(perf.usual | 1 << 12 | 1 << 13), "--call-graph dwarf"),
        (perf.event(perf.usual | 1 << 11, branch=1 << 11), "--call-graph lbr"),
    ):
        with pytest.raises(ProfileError, match=f"recorded with {option}.*not installed") as failure:
            perf.read(save([event], event.sample([perf.user, 0x10])))
        assert "Install perf" in failure.value.hint
    ordinary = perf.event(perf.usual | 1 << 11)
    assert perf.read(save([ordinary], ordinary.sample([perf.user, 0x10]))).count == 1
