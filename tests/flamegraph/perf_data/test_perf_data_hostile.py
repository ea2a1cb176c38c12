"""Truncated, corrupted and hostile recordings: an error with the byte offset, or the content before it."""

import gzip
import random
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from flamegraph import BrokenProfileError, ProfileError

HEADER = 104
MiB = 1 << 20


def kinds(perf):
    """An event, and a record of each type that the reader uses."""
    event = perf.event(name="cpu-clock")
    return event, {
        "comm": event.comm("worker"),
        "fork": event.fork(11, 10, time=1),
        "exit": event.exit(11, time=2),
        "mmap": event.mmap("/nowhere/a", 0x1000, 0x1000),
        "mmap2": event.mmap2("/nowhere/b", 0x2000, 0x1000),
        "mmap2_build_id": event.mmap2("/nowhere/c", 0x3000, 0x1000, build_id=b"\1" * 20),
        "kernel": event.mmap("[kernel.kallsyms]_text", 0xFFFFFFFF81000000, 0x1000, pid=-1, misc=1),
        "ksymbol": event.ksymbol(0xFFFFFFFFC0001000, 0x100, "bpf_prog_1"),
        "lost": event.lost(3),
        "lost_samples": event.lost_samples(3),
        "sample": event.sample([perf.user, 0x1010, 0x2010]),
        "round": perf.round,
        "attr": perf.record(64, 0, event.attr + struct.pack("<Q", 7)),
        "feature": perf.record(80, 0, struct.pack("<Q", 4) + perf.feature_string("6.1.0-abcde")),
        "build_id": perf.record(67, 1, struct.pack("<i20sB3x", -1, b"\2" * 20, 20) + b"/nowhere/a".ljust(16, b"\0")),
        "update": perf.record(78, 0, struct.pack("<QQ", 2, 7) + b"name".ljust(8, b"\0")),
        "auxtrace": perf.record(71, 0, struct.pack("<QQQIIII", 16, 0, 0, 0, 0, 0, 0)) + b"p" * 16,
    }


NAMES = [
    "comm",
    "fork",
    "exit",
    "mmap",
    "mmap2",
    "mmap2_build_id",
    "kernel",
    "ksymbol",
    "lost",
    "lost_samples",
    "sample",
]
NAMES += ["round", "attr", "feature", "build_id", "update", "auxtrace"]


def outcome(perf, path: Path, **options) -> str:
    """The error message, or ""; any other exception fails the test."""
    try:
        profile = perf.read(path, **options)
    except BrokenProfileError as broken:
        return broken.message if re.search(r"byte \d+", broken.message) else pytest.fail(f"no byte: {broken.message}")
    except ProfileError as error:
        return error.message
    assert profile.samples.stack.max(initial=-1) < len(profile.stacks)
    return ""


def test_all_recordings_are_valid(perf, save):
    event, records = kinds(perf)
    assert list(records) == NAMES
    assert outcome(perf, save([event], *records.values())) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_file_ends_inside_a_record(perf, tmp_path, name):
    """Truncated at each byte; the content before is salvaged."""
    event, records = kinds(perf)
    good = [event.comm("w"), event.sample([perf.user, 0x99], pid=10)]
    whole = perf.write_file(tmp_path / "whole", [event], [*good, records[name]]).read_bytes()
    start = whole.index(records[name], whole.index(good[1]) + len(good[1]))
    piped = perf.write_pipe(tmp_path / "piped", [event], [*good, records[name]]).read_bytes()
    path = tmp_path / "cut"
    for cut in range(len(records[name])):
        path.write_bytes(whole[: start + cut])
        assert f"at byte {start + cut}: the file ends" in outcome(perf, path)
        saved = perf.read(path, salvage=True)
        assert saved.count == 1
        assert any(f"byte {start}" in note or f"byte {start + cut}" in note for note in saved.info.notes), saved.info
        path.write_bytes(piped[: len(piped) - len(records[name]) + cut])
        error = outcome(perf, path)
        assert (cut == 0) == (error == ""), (cut, error)
        assert perf.read(path, salvage=True).count == 1


def of_kernel(record: bytes) -> bool:
    """Sizes of kernel records are multiples of 8; those of perf need not be."""
    return struct.unpack_from("<I", record)[0] < 64


@pytest.mark.parametrize("name", NAMES)
def test_a_record_with_every_wrong_size(perf, save, name):
    """The following bytes are read as the next record."""
    event, records = kinds(perf)
    good, bad = event.sample([perf.user, 0x99]), records[name]
    for size in [*range(len(bad) + 33), 0x7FF8, 0xFFF8, 0xFFFF]:
        changed = bad[:6] + struct.pack("<H", size) + bad[8:]
        path = save([event], good, changed, good, good)
        error = outcome(perf, path)
        if size < 8 or (size % 8 and of_kernel(bad)):
            assert error, size
        saved = perf.read(path, salvage=True)
        assert saved.count >= 1
        assert bool(saved.info.notes) >= bool(error)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_but_well_formed_record(perf, save, name):
    """The size is correct, the content is missing."""
    event, records = kinds(perf)
    good, bad = event.sample([perf.user, 0x99]), records[name]
    for size in range(8, struct.unpack_from("<H", bad, 6)[0], 8):
        path = save([event], good, bad[:6] + struct.pack("<H", size) + bad[8:size], good)
        outcome(perf, path)
        assert perf.read(path, salvage=True).count >= 1


def test_the_byte_in_the_error(perf, save):
    event = perf.event()
    good = event.sample([perf.user, 0x99])
    path = save([event], good, good, struct.pack("<IHH", 9, 2, 0), good)
    at = path.read_bytes().index(struct.pack("<IHH", 9, 2, 0))
    assert outcome(perf, path) == f"{path} is corrupt at byte {at}: a record of 0 bytes."
    saved = perf.read(path, salvage=True)
    assert saved.count == 2
    assert f"byte {at} " in saved.info.notes[0]


@pytest.mark.parametrize("count", [4, 5, 1 << 13, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_a_chain_longer_than_its_record(perf, save, count):
    event = perf.event()
    good = event.sample([perf.user, 0x1, 0x2])
    bad = good[:-32] + struct.pack("<Q", count) + good[-24:]
    path = save([event], good, bad, good)
    at = path.read_bytes().index(bad)
    assert f"byte {at}: a sample whose fields" in outcome(perf, path)
    assert perf.read(path, salvage=True).count == 1


@pytest.mark.parametrize("members", [9, 1 << 13, 1 << 40, (1 << 64) - 1])
def test_a_group_longer_than_its_record(perf, save, members):
    event = perf.event(perf.usual | perf.read_bit, read_format=8)
    path = save([event], event.sample([perf.user, 0x1], read=struct.pack("<QQ", members, 1)))
    assert "a sample whose fields" in outcome(perf, path)


def test_the_header_with_every_wrong_number(perf, tmp_path):
    event, records = kinds(perf)
    whole = perf.write_file(
        tmp_path / "whole", [event], records.values(), features={4: perf.feature_string("6.1")}
    ).read_bytes()
    path = tmp_path / "changed"
    began = time.monotonic()
    for place in range(8, HEADER, 8):
        for number in (0, 79, 1 << 33, (1 << 64) - 8):
            path.write_bytes(whole[:place] + struct.pack("<Q", number) + whole[place + 8 :])
            outcome(perf, path)
            outcome(perf, path, salvage=True)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("form", ["write_file", "write_pipe"])
def test_header_truncated_at_each_byte(perf, tmp_path, form):
    event, records = kinds(perf)
    whole = getattr(perf, form)(tmp_path / "whole", [event], [records["sample"]]).read_bytes()
    # A stream may end behind any record once it has described an event.
    ends = {16 + 8 + 128 + 8, len(whole) - len(records["sample"])} if form == "write_pipe" else set()
    path = tmp_path / "cut"
    for cut in range(8, len(whole) - (len(records["sample"]) if form == "write_pipe" else 0)):
        path.write_bytes(whole[:cut])
        assert bool(outcome(perf, path)) == (cut not in ends), cut


def test_a_recording_that_was_not_finished(perf, save):
    """perf was killed: the size of the data is still 0, and the last record is truncated."""
    event = perf.event()
    good = event.sample([perf.user, 0x1])
    path = save([event], good, good, good[:20], data_size=0)
    assert "perf was terminated before it completed" in outcome(perf, path)
    saved = perf.read(path, salvage=True)
    assert saved.count == 2
    assert any("read to its end" in note for note in saved.info.notes)


def test_random_corruption(perf, tmp_path):
    """300 files with some bytes changed: a profile or a `ProfileError`, in limited time."""
    random.seed(11)
    event, records = kinds(perf)
    path, wholes = tmp_path / "changed", []
    for form in ("write_file", "write_pipe"):
        wholes.append(
            getattr(perf, form)(tmp_path / form, [event], [*records.values(), *records.values()]).read_bytes()
        )
    began = time.monotonic()
    for number in range(300):
        corrupt = bytearray(wholes[number % 2])
        for _ in range(random.randrange(1, 8)):
            corrupt[random.randrange(8, len(corrupt))] = random.choice(
                (0, 1, 8, 9, 0x7F, 0x80, 0xFF, random.randrange(256))
            )
        path.write_bytes(corrupt)
        outcome(perf, path, salvage=bool(number & 2))
    assert time.monotonic() - began < 60


def test_overlapping_sections(perf, save):
    """Attributes, ids, data and features in the same place."""
    event = perf.event(name="x")
    path = save([event], event.sample([]))
    whole = bytearray(path.read_bytes())
    for offset in (0, 8, 24, 104, len(whole) - 8):
        for field in (24, 40):
            changed = whole.copy()
            changed[field : field + 8] = struct.pack("<Q", offset)
            path.write_bytes(changed)
            outcome(perf, path)
            outcome(perf, path, salvage=True)


def test_corrupt_compressed_data(perf, save):
    event = perf.event()
    good = event.sample([perf.user, 0x1])
    body = zstandard.compress(good * 20)
    random.seed(3)
    for number in range(200):
        corrupt = bytearray(body)
        corrupt[random.randrange(len(corrupt))] ^= 1 << random.randrange(8)
        if number % 4 == 0:
            corrupt = corrupt[: random.randrange(len(corrupt))]
        path = save([event], good, struct.pack("<IHH", 81, 0, 8 + len(corrupt)) + corrupt)
        outcome(perf, path)
        assert perf.read(path, salvage=True).count >= 1
    path = save([event], good, struct.pack("<IHHQ", 83, 0, 24, 1 << 40) + b"x" * 8)
    assert "compressed bytes in a record of 24" in outcome(perf, path)


def test_records_that_may_not_be_compressed(perf, save):
    event = perf.event()
    for inner in (struct.pack("<IHH", 81, 0, 8), perf.record(71, 0, struct.pack("<Q", 1 << 40)), b"\0" * 64):
        body = zstandard.compress(event.sample([]) + inner)
        path = save([event], struct.pack("<IHH", 81, 0, 8 + len(body)) + body)
        assert re.search(r"byte \d+: in the content of this compressed record", outcome(perf, path))
        assert perf.read(path, salvage=True).count == 1


MEASURED = """
import sys, time
from flamegraph import BrokenProfileError
from flamegraph.readers import perfdata
from flamegraph.readers import ReadOptions
from flamegraph.readers.source import open_source
began = time.monotonic()
try:
    with open_source(sys.argv[1]) as source:
        print(perfdata.read(source, ReadOptions(downloads=False)).count)
except BrokenProfileError as error:
    print("refused", error.message)
# Not ru_maxrss: that counts what the parent had when it forked.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(time.monotonic() - began, int(status["VmHWM"].split()[0]) >> 10)
"""


def measured(path: Path) -> tuple[str, float, int]:
    """Message, seconds, and peak MiB."""
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *message, numbers = done.stdout.splitlines()
    seconds, peak = numbers.split()
    return "\n".join(message), float(seconds), int(peak)


@pytest.mark.parametrize("inner", ["zeros", "samples"])
def test_a_bomb(perf, save, inner):
    """64 KiB that decompress to gigabytes are refused early."""
    event = perf.event()
    piece = b"\0" * 8 * MiB if inner == "zeros" else event.sample([perf.user, 0x1]) * (MiB // 8)
    stream = zstandard.ZstdCompressor().compressobj()
    body = b""
    for _ in range(64):
        body += stream.compress(piece)
    body += stream.flush()
    pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    path = save([event], *(struct.pack("<IHH", 81, 0, 8 + len(part)) + part for part in pieces))
    message, seconds, peak = measured(path)
    assert message.startswith("refused")
    assert re.search(r"byte \d+", message)
    assert seconds < 30
    assert peak < 900


def test_many_records_without_samples(perf, save):
    """A million ends of rounds, a hundred thousand names and maps of one process: in bounded time and memory."""
    event = perf.event()
    maps = [event.mmap2("/nowhere/a", 0x1000 * n, 0x2000, time=n + 1) for n in range(50_000)]
    names = [event.comm(str(n), time=n + 1) for n in range(50_000)]
    path = save([event], *maps, *names, perf.round * 1_000_000, event.sample([perf.user, 0x1], time=1 << 40))
    message, seconds, peak = measured(path)
    assert message == "1"
    assert seconds < 30
    assert peak < 700


def test_many_payloads(perf, save):
    """Consecutive records that break the alignment."""
    event = perf.event()
    trace = perf.record(71, 0, struct.pack("<QQQIIII", 8, 0, 0, 0, 0, 0, 0)) + b"p" * 8
    path = save([event], event.sample([]), trace * 20_000)
    message, seconds, _ = measured(path)
    assert message == "1"
    assert seconds < 30


def test_times_far_apart(perf, save):
    event = perf.event()
    times = [0, 1, 1 << 40, 1 << 62, 1 << 63, (1 << 64) - 1]
    profile = perf.read(save([event], *(event.sample([perf.user, 1], time=time) for time in times)))
    assert profile.count == len(times)
    assert profile.info.intervals <= 600
    assert profile.samples.interval.max() < profile.info.intervals


def test_truncated_gzip(perf, save, tmp_path):
    event = perf.event()
    path = save([event], *(event.sample([perf.user, n]) for n in range(5000)))
    truncated = tmp_path / "truncated.gz"
    truncated.write_bytes(gzip.compress(path.read_bytes())[:-200])
    assert "reading failed" in outcome(perf, truncated)
    saved = perf.read(truncated, salvage=True)
    assert 0 < saved.count < 5000
    assert saved.info.notes


def test_memory_does_not_grow_with_the_length(perf, tmp_path):
    """The same 300 stacks, once and six times as often."""
    event = perf.event()
    peaks = []
    for times in (1, 6):
        records = (
            event.sample([perf.user, *range(1, 100 + n % 300)], time=(r * 20_000 + n) * 1000)
            for r in range(times)
            for n in range(20_000)
        )
        path = perf.write_file(tmp_path / "perf.data", [event], records)
        message, _, peak = measured(path)
        assert message == str(20_000 * times)
        peaks.append(peak)
    assert path.stat().st_size > 150 * MiB
    assert peaks[1] < peaks[0] + 60
    assert peaks[1] < 300


@pytest.mark.parametrize("kind", [81, 83])
def test_a_compressed_record_truncated_at_each_byte(perf, tmp_path, kind):
    """The content before is salvaged, and the part that can be decompressed."""
    event, _ = kinds(perf)
    good = [event.comm("w"), event.sample([perf.user, 0x99], pid=10)]
    inner = b"".join(event.sample([perf.user, 0x100 + n]) for n in range(3))
    compressor = zstandard.ZstdCompressor().compressobj()
    piece = compressor.compress(inner) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    padding = bytes(-len(piece) % 8)
    head = struct.pack("<IHH", kind, 0, 8 + len(piece)) if kind == 81 else None
    head = head or struct.pack("<IHHQ", kind, 0, 16 + len(piece) + len(padding), len(piece))
    record = head + piece + (padding if kind == 83 else b"")
    whole = perf.write_file(tmp_path / "whole", [event], [*good, record]).read_bytes()
    assert outcome(perf, tmp_path / "whole") == ""
    assert perf.read(tmp_path / "whole").count == 4
    start = whole.index(record)
    path = tmp_path / "cut"
    for cut in range(len(record)):
        path.write_bytes(whole[: start + cut])
        assert "byte" in outcome(perf, path), cut
        assert perf.read(path, salvage=True).count == 1
