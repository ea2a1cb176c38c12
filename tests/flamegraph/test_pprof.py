"""pprof: profiles of Go, the writer checked by protobuf and by `go tool pprof` where it is installed, corruption."""

import contextlib
import gzip
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from flamegraph import BrokenProfileError, ProfileError, ReadOptions, read
from flamegraph.builder import Builder
from flamegraph.flame_graph import FlameGraph
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info
from flamegraph.readers import pprof as reader
from flamegraph.readers.pprof import message
from flamegraph.wire import bytes_field, encode_varint, number_field, packed_field, varint
from flamegraph.writers import WriteOptions
from flamegraph.writers.folded import render as folded
from flamegraph.writers.pprof import render

DATA = Path(__file__).parent / "data"
# profile.proto, as far as it is used: message -> field -> (number, type, repeated).
PROTO = {
    "ValueType": {"type": (1, "int64", 0), "unit": (2, "int64", 0)},
    "Label": {"key": (1, "int64", 0), "str": (2, "int64", 0), "num": (3, "int64", 0), "num_unit": (4, "int64", 0)},
    "Sample": {"location_id": (1, "uint64", 1), "value": (2, "int64", 1), "label": (3, "Label", 1)},
    "Mapping": {
        "id": (1, "uint64", 0),
        "memory_start": (2, "uint64", 0),
        "filename": (5, "int64", 0),
        "has_functions": (7, "bool", 0),
    },
    "Line": {"function_id": (1, "uint64", 0), "line": (2, "int64", 0)},
    "Location": {
        "id": (1, "uint64", 0),
        "mapping_id": (2, "uint64", 0),
        "address": (3, "uint64", 0),
        "line": (4, "Line", 1),
    },
    "Function": {"id": (1, "uint64", 0), "name": (2, "int64", 0), "system_name": (3, "int64", 0)},
    "Profile": {
        "sample_type": (1, "ValueType", 1),
        "sample": (2, "Sample", 1),
        "mapping": (3, "Mapping", 1),
        "location": (4, "Location", 1),
        "function": (5, "Function", 1),
        "string_table": (6, "string", 1),
        "duration_nanos": (10, "int64", 0),
        "period_type": (11, "ValueType", 0),
        "period": (12, "int64", 0),
        "comment": (13, "int64", 1),
        "default_sample_type": (14, "int64", 0),
    },
}


def message_class():
    """google.protobuf's class of a Profile, from the table above: an independent decoder."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="p", syntax="proto3")
    for name, fields in PROTO.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in PROTO:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".p.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Profile"))


@pytest.fixture(scope="module")
def proto():
    return message_class()


@pytest.fixture
def parse(tmp_path):
    def parse(content, **options):
        path = tmp_path / "x.pprof"
        path.write_bytes(content)
        return read(path, ReadOptions(**options))

    return parse


def example(seed=1, count=60):
    rng = random.Random(seed)
    builder = Builder()
    frames = [
        Frame("main", "/bin/x"),
        Frame("read", "[kernel]", Kind.KERNEL),
        Frame("nf", "[nf_tables]", Kind.KERNEL),
        Frame("LA:::b", "/tmp/perf-7.map", Kind.JIT),
        Frame("[libc.so.6]", "/lib/libc.so.6", Kind.UNKNOWN),
        Frame("ä\U0001f525;\n", "/bin/x"),
        Frame("", "/bin/x"),
        *(Frame(f"f{i}", "/bin/x") for i in range(200)),
    ]
    frames[6] = Frame("[unknown]", "", Kind.UNKNOWN)
    inlined = [Frame(f"i{i}", "/bin/x", Kind.INLINED) for i in range(3)]
    for _ in range(count):
        stack = [frames[0]]
        for _ in range(rng.randrange(8)):
            stack.append(rng.choice(frames))
            if stack[-1].module == "/bin/x" and rng.random() < 0.3:
                stack += rng.sample(inlined, 2)
        thread = Thread(rng.choice([-1, 0, 300]), rng.choice([0, 5, 1 << 21]), rng.choice(["x", "a b", ""]))
        number = builder.stack([builder.frame(frame) for frame in stack])
        builder.add(number, builder.thread(thread), rng.randrange(3), count=3, weight=rng.randrange(1, 1 << 40))
    return builder.profile(
        Info(event="cycles", unit="cycles", seconds=1.5, interval_s=0.5, intervals=3, notes=("A note.",))
    )


def rows(profile):
    """(thread, stack) -> count and weight; time intervals summed."""
    found = {}
    samples = profile.samples
    for i in range(len(samples)):
        stack = tuple(profile.frames[number] for number in profile.stacks[samples.stack[i]].tolist())
        key = (profile.threads[samples.thread[i]], stack)
        count, weight = found.get(key, (0, 0))
        found[key] = (count + int(samples.count[i]), weight + float(samples.weight[i]))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_round_trip(parse, seed):
    written = example(seed)
    found = parse(render(written, WriteOptions()))
    assert rows(found) == rows(written)
    assert (found.info.event, found.info.unit, found.info.seconds) == ("cycles", "cycles", 1.5)
    assert "A note." in found.info.notes


@pytest.mark.parametrize(("event", "unit"), [("cpu-clock", "ns"), ("", "samples"), ("cycles", "samples")])
def test_units(parse, event, unit):
    builder = Builder()
    builder.add(builder.stack([builder.frame(Frame("f"))]), builder.thread(Thread(1, 1, "x")), count=5, weight=5)
    found = parse(render(builder.profile(Info(event=event, unit=unit)), WriteOptions())).info
    assert (found.event, found.unit, found.other_events) == (event, unit, ())


def test_fractions_are_rounded_with_a_comment(parse):
    builder = Builder()
    builder.add(builder.stack([builder.frame(Frame("f"))]), builder.thread(Thread(-1, -1, "")), count=0, weight=2.75)
    found = parse(render(builder.profile(Info()), WriteOptions()))
    assert found.total == 3
    assert any("rounded" in note for note in found.info.notes)


def test_by_protobuf(proto):
    written = example()
    message = proto.FromString(gzip.decompress(render(written, WriteOptions(title="The title"))))
    text = message.string_table
    assert text[0] == ""
    types = [(text[one.type], text[one.unit]) for one in (*message.sample_type, message.period_type)]
    assert types == [("samples", "count"), ("cycles", "cycles"), ("cycles", "cycles")]
    assert text[message.default_sample_type] == "cycles"
    assert [text[number] for number in message.comment] == ["The title", "A note."]
    assert message.duration_nanos == 1_500_000_000
    assert message.period == round(written.total / written.count)
    assert sum(sample.value[0] for sample in message.sample) == written.count
    assert sum(sample.value[1] for sample in message.sample) == written.total
    functions = {one.id: text[one.name] for one in message.function}
    mappings = {one.id: text[one.filename] for one in message.mapping}
    locations = {one.id: one for one in message.location}
    assert 0 not in functions.keys() | mappings.keys() | locations.keys()
    assert all(one.has_functions for one in message.mapping)
    assert not mappings[1].startswith("[")
    found = {}
    for sample in message.sample:
        lines = [line for number in sample.location_id for line in locations[number].line]
        labels = {text[label.key]: text[label.str] or label.num for label in sample.label}
        thread = Thread(labels.get("pid", -1), labels.get("tid", -1), labels.get("comm", ""))
        stack = tuple(functions[line.function_id] for line in reversed(lines))
        found[thread, stack] = tuple(sample.value)
    assert found == {
        (thread, tuple(frame.name for frame in stack)): value for (thread, stack), value in rows(written).items()
    }


def test_inlined_lines_share_a_location(proto):
    builder = Builder()
    frames = [Frame("a"), Frame("b", "", Kind.INLINED), Frame("c", "", Kind.INLINED), Frame("d")]
    builder.add(builder.stack([builder.frame(frame) for frame in frames]), builder.thread(Thread(1, 1, "x")))
    message = proto.FromString(gzip.decompress(render(builder.profile(Info()), WriteOptions())))
    names = {one.id: message.string_table[one.name] for one in message.function}
    by_id = {one.id: [names[line.function_id] for line in one.line] for one in message.location}
    assert [by_id[number] for number in message.sample[0].location_id] == [["d"], ["c", "b", "a"]]


def test_from_protobuf(proto, parse):
    """The output of another encoder: addresses without names, unpacked numbers, default type, foreign labels."""
    strings = ["", "samples", "count", "cpu", "nanoseconds", "main", "/bin/x", "thread", "worker", "tid", "bytes"]
    message = proto(string_table=strings, duration_nanos=5, default_sample_type=3)
    message.sample_type.add(type=1, unit=2)
    message.sample_type.add(type=3, unit=4)
    message.sample_type.add(type=10, unit=10)
    message.mapping.add(id=9, filename=6)
    message.function.add(id=1 << 40, name=5)
    message.location.add(id=300, mapping_id=9, address=0x7F12).line.add(function_id=1 << 40)
    message.location.add(id=301, mapping_id=9, address=0x7F34)
    message.location.add(id=302, address=0x7F56)
    sample = message.sample.add(location_id=[301, 302, 300], value=[2, 2000, 7])
    sample.label.add(key=7, str=8)
    sample.label.add(key=9, num=77)
    sample.label.add(key=10, num=1024)
    for content in (message.SerializeToString(), gzip.compress(message.SerializeToString())):
        found = parse(content)
        assert (found.total, found.count, found.info.event, found.info.unit) == (2000, 2, "cpu", "ns")
        assert found.threads[0] == Thread(-1, 77, "worker")
        assert folded(found, WriteOptions()) == b"worker;main;[unknown];[x] 2000\n"
        shown = parse(content, addresses=True, event="bytes")
        assert folded(shown, WriteOptions()) == b"worker;main;[unknown <7f56>];[x <7f34>] 7\n"
    del message.sample[:]
    unpacked = b"".join(number_field(1, number) for number in (301, 300)) + packed_field(2, (1, 1, 1))
    assert folded(parse(message.SerializeToString() + bytes_field(2, unpacked)), WriteOptions()) == b"main;[x] 1\n"


def test_go_cpu():
    """Recorded by runtime/pprof of Go 1.19: 30 × burn() below a method, with a label thread=worker."""
    found = read(DATA / "go-cpu.pb.gz")
    assert (found.count, found.total, found.info.event, found.info.unit) == (43, 430_000_000, "cpu", "ns")
    assert found.info.seconds == pytest.approx(0.602, abs=0.001)
    assert folded(found, WriteOptions(annotate_jit=True)) == (
        b"worker;runtime.main;main.main;runtime/pprof.Do;main.main.func1;main.(*T).Do_[i];main.burn_[i] 430000000\n"
    )


def test_go_heap():
    found = read(DATA / "go-heap.pb.gz")
    assert (found.info.event, found.info.unit, found.count) == ("inuse_space", "bytes", 0)
    assert found.info.other_events == ("alloc_objects", "alloc_space", "inuse_objects")
    objects = read(DATA / "go-heap.pb.gz", ReadOptions(event="alloc_objects"))
    assert (objects.info.event, objects.info.unit) == ("alloc_objects", "alloc_objects")
    assert objects.total != found.total
    with pytest.raises(ProfileError, match="the event x") as error:
        read(DATA / "go-heap.pb.gz", ReadOptions(event="x"))
    assert "alloc_space" in error.value.hint


def test_go_tool_pprof(tmp_path):
    if not shutil.which("go"):
        pytest.skip("no Go here; test_by_protobuf decodes the same by protobuf's runtime")
    FlameGraph.of(example()).write(tmp_path / "x.pb.gz")
    shown = subprocess.run(
        ["go", "tool", "pprof", "-raw", tmp_path / "x.pb.gz"], check=True, capture_output=True, text=True
    ).stdout
    assert "samples/count cycles/cycles[dflt]" in shown


def test_same_bytes_each_time():
    assert render(example(), WriteOptions()) == render(example(), WriteOptions())


# ---- Damage ----


def raw(seed=1, count=20):
    return gzip.decompress(render(example(seed, count), WriteOptions()))


def test_truncated_at_each_byte(parse):
    content = raw(count=4)
    whole = rows(parse(content))
    for length in range(10, len(content)):
        with pytest.raises(BrokenProfileError):
            assert rows(parse(content[:length])) != whole
        with contextlib.suppress(BrokenProfileError):
            saved = parse(content[:length], salvage=True)
            assert saved.info.notes
            assert saved.count <= 12


def test_salvage(parse):
    """A file with a truncated last string: all samples, one name missing."""
    content = raw()
    with pytest.raises(BrokenProfileError, match=r"Byte \d+: a field of \d+ bytes where \d+ remain"):
        parse(content[:-1])
    saved = parse(content[:-1], salvage=True)
    assert saved.total == example(count=20).total
    assert "was kept" in saved.info.notes[0]


@pytest.mark.parametrize("seed", range(30))
def test_noise(parse, seed):
    rng = random.Random(seed)
    content = bytearray(raw(seed))
    for _ in range(rng.choice([1, 3, 30])):
        content[rng.randrange(30, len(content))] = rng.randrange(256)
    for salvage in (False, True):
        with contextlib.suppress(ProfileError):
            assert parse(bytes(content), salvage=salvage).total >= 0


TYPES = bytes_field(1, number_field(1, 1) + number_field(2, 2))
STRINGS = b"".join(bytes_field(6, text) for text in (b"", b"samples", b"count", b"f"))
SAMPLE = bytes_field(2, packed_field(1, [1]) + packed_field(2, [1]))
LOCATION = bytes_field(4, number_field(1, 1) + bytes_field(4, number_field(1, 1)))
FUNCTION = bytes_field(5, number_field(1, 1) + number_field(2, 3))


def test_the_chunks_are_complete(parse):
    assert folded(parse(TYPES + SAMPLE + LOCATION + FUNCTION + STRINGS), WriteOptions()) == b"f 1\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TYPES + SAMPLE + FUNCTION + STRINGS, "Byte 8: a sample refers to the location 1"),
        (TYPES + SAMPLE + LOCATION + STRINGS, "function 1 is missing"),
        (TYPES + SAMPLE + LOCATION + FUNCTION, "string 1 is missing"),
        (SAMPLE + LOCATION + FUNCTION + STRINGS, "has no sample types"),
        (TYPES + TYPES + SAMPLE + LOCATION + FUNCTION + STRINGS, "1 values for 2 types"),
        (TYPES + LOCATION + FUNCTION + STRINGS, "no sample"),
        (TYPES + SAMPLE + b"\x1b", "unknown type 3"),
        (TYPES + SAMPLE + b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a field of 9223372036854775807 bytes"),
        (TYPES + SAMPLE + b"\x12" + b"\xff" * 11, "an unterminated number"),
        (TYPES + SAMPLE + b"\x00\x00", "a field without a number"),
        (TYPES + bytes_field(4, number_field(1, 1) + bytes_field(4, b"") * 5000), "5000 inlined functions"),
    ],
)
def test_broken(parse, content, message):
    with pytest.raises(BrokenProfileError, match=message):
        parse(content)


def test_negative_values_are_refused(parse):
    sample = bytes_field(2, packed_field(1, [1]) + packed_field(2, [-5]))
    with pytest.raises(ProfileError, match="negative") as error:
        parse(TYPES + sample + LOCATION + FUNCTION + STRINGS)
    assert "--diff" in error.value.hint


def test_expansion_is_bounded(parse, monkeypatch):
    """Each sample repeats the deepest location."""
    monkeypatch.setattr("flamegraph.readers.pprof.message.MAX_FRAMES", 1_000_000)
    location = bytes_field(4, number_field(1, 1) + bytes_field(4, number_field(1, 1)) * 4000)
    samples = b"".join(bytes_field(2, packed_field(1, [1] * i) + packed_field(2, [1])) for i in range(1, 200))
    with pytest.raises(BrokenProfileError, match="more than 1000000 frames"):
        parse(TYPES + samples + location + FUNCTION + STRINGS)


def test_gzip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(message, "MAX_SIZE", 1 << 24)
    (tmp_path / "x.gz").write_bytes(gzip.compress(TYPES + STRINGS + bytes_field(6, bytes(1 << 27))))
    with pytest.raises(ProfileError, match="larger than 16 MiB"):
        read(tmp_path / "x.gz")


@pytest.mark.parametrize(
    "content",
    [b"java 1 cycles:\n", b"\n\nx", b"a;b 1\n", b"PERFILE2" + bytes(100), b"\x00" * 50, b"*\x01", b"2\x00\x00"],
)
def test_not_recognised(content):
    assert not reader.recognises(content)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 1 << 35, (1 << 63) - 1, -1, -(1 << 63)])
def test_numbers(number):
    encoded = encode_varint(number)
    assert varint(encoded, 0, len(encoded)) == (number % (1 << 64), len(encoded))
