"""Writes perf.data files by the specification, and folds `perf script` text in the simplest way."""

import re
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from flamegraph import Profile, ReadOptions
from flamegraph.readers import perfdata
from flamegraph.readers.source import open_source

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID = (1 << bit for bit in range(10))
RAW, IDENTIFIER = 1 << 10, 1 << 16
USUAL = IP | TID | TIME | CALLCHAIN | ID | PERIOD
KERNEL, USER = (1 << 64) - 128, (1 << 64) - 512
ID_ALL, FREQ = 1 << 18, 1 << 10

# Of Documentation/perf.data-file-format.txt and man perf_event_open.
SAMPLE_ORDER = (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD, READ, CALLCHAIN, RAW)
TRAILER_ORDER = (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER)

Stack = tuple[str, int, int, tuple[str, ...]]


def record(kind: int, misc: int, body: bytes) -> bytes:
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def padded(text: str, extra: int = 1) -> bytes:
    data = text.encode() + b"\0" * extra
    return data + b"\0" * (-len(data) % 8)


class Event:
    """An attribute, and the records that belong to it."""

    def __init__(  # noqa: PLR0913 - an attribute has that many fields
        self,
        sample_type: int = USUAL,
        *,
        number: int = 7,
        kind: int = 1,
        config: int = 0,
        period: int = 1000,
        flags: int = ID_ALL,
        read_format: int = 0,
        size: int = 128,
        max_stack: int = 0,
        branch: int = 0,
        name: str = "",
    ) -> None:
        self.sample_type, self.number, self.flags, self.read_format, self.name = (
            sample_type,
            number,
            flags,
            read_format,
            name,
        )
        attr = struct.pack("<IIQQQQQ", kind, size, config, period, sample_type, read_format, flags)
        attr = attr.ljust(72, b"\0") + struct.pack("<Q", branch)
        attr = attr.ljust(108, b"\0") + struct.pack("<H", max_stack)
        self.attr = attr.ljust(max(size, 128), b"\0")[:size]

    def sample(
        self,
        chain: Sequence[int] | None,
        *,
        pid: int = 10,
        tid: int | None = None,
        time: int = 0,
        period: int = 1000,
        misc: int = 2,
        ip: int = 0,
        read: bytes = b"",
    ) -> bytes:
        """A SAMPLE record with this event's fields."""
        chain = list(chain) if chain is not None else []
        tid = pid if tid is None else tid
        values = {
            IDENTIFIER: struct.pack("<Q", self.number),
            IP: struct.pack("<Q", ip),
            TID: struct.pack("<ii", pid, tid),
            TIME: struct.pack("<Q", time),
            ADDR: struct.pack("<Q", 0xADD2),
            ID: struct.pack("<Q", self.number),
            STREAM_ID: struct.pack("<Q", self.number),
            CPU: struct.pack("<Q", 1),
            PERIOD: struct.pack("<Q", period),
            READ: read,
            CALLCHAIN: struct.pack(f"<{1 + len(chain)}Q", len(chain), *chain),
            RAW: struct.pack("<I", 4) + b"rawd",
        }
        return record(9, misc, b"".join(values[bit] for bit in SAMPLE_ORDER if self.sample_type & bit))

    def other(self, kind: int, body: bytes, *, misc: int = 0, time: int = 0, pid: int = 0, tid: int = 0) -> bytes:
        """A record with this event's trailer."""
        values = {
            TID: struct.pack("<ii", pid, tid),
            TIME: struct.pack("<Q", time),
            CPU: struct.pack("<Q", 0),
        }
        number = struct.pack("<Q", self.number)
        has = self.flags & ID_ALL
        trailer = b"".join(values.get(bit, number) for bit in TRAILER_ORDER if has and self.sample_type & bit)
        return record(kind, misc, body + trailer)

    def comm(self, name: str, *, pid: int = 10, tid: int | None = None, time: int = 0, executed: bool = False) -> bytes:
        body = struct.pack("<ii", pid, pid if tid is None else tid) + padded(name)
        return self.other(3, body, misc=(1 << 13) * executed, time=time)

    def fork(self, pid: int, parent: int, *, time: int = 0, tid: int | None = None, made_up: bool = False) -> bytes:
        body = struct.pack("<iiiiQ", pid, parent, pid if tid is None else tid, parent, time)
        return self.other(7, body, misc=(1 << 13) * made_up, time=time)

    def exit(self, pid: int, *, time: int = 0) -> bytes:
        return self.other(4, struct.pack("<iiiiQ", pid, 1, pid, 1, time), time=time)

    def mmap(
        self, path: str, start: int, length: int, *, pid: int = 10, offset: int = 0, time: int = 0, misc: int = 2
    ) -> bytes:
        body = struct.pack("<iiQQQ", pid, pid, start, length, offset) + padded(path)
        return self.other(1, body, misc=misc, time=time)

    def mmap2(
        self,
        path: str,
        start: int,
        length: int,
        *,
        pid: int = 10,
        offset: int = 0,
        time: int = 0,
        build_id: bytes = b"",
    ) -> bytes:
        body = struct.pack("<iiQQQ", pid, pid, start, length, offset)
        body += struct.pack("<B3x20s", len(build_id), build_id) if build_id else struct.pack("<IIQQ", 1, 2, 3, 4)
        body += struct.pack("<II", 5, 2) + padded(path)
        return self.other(10, body, misc=2 | (1 << 14) * bool(build_id), time=time)

    def ksymbol(self, address: int, length: int, name: str, *, time: int = 0, gone: bool = False) -> bytes:
        return self.other(17, struct.pack("<QIHH", address, length, 1, gone) + padded(name), time=time)

    def lost(self, count: int, *, time: int = 0) -> bytes:
        return self.other(2, struct.pack("<QQ", self.number, count), time=time)

    def lost_samples(self, count: int, *, misc: int = 0) -> bytes:
        return self.other(13, struct.pack("<Q", count), misc=misc)


ROUND = record(68, 0, b"")


def feature_string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data


def event_desc(events: Sequence[Event]) -> bytes:
    """The section that names the events."""
    data = struct.pack("<II", len(events), len(events[0].attr))
    for event in events:
        data += event.attr + struct.pack("<I", 1) + feature_string(event.name) + struct.pack("<Q", event.number)
    return data


def write_file(
    path: Path,
    events: Sequence[Event],
    records: Iterable[bytes],
    *,
    features: dict[int, bytes] | None = None,
    data_size: int | None = None,
) -> Path:
    """A file of the ordinary form: header, ids, attributes, data, features."""
    features = dict(features or {})
    if any(event.name for event in events):
        features[12] = event_desc(events)
    data = b"".join(records)
    ids = b"".join(struct.pack("<Q", event.number) for event in events)
    entry = len(events[0].attr) + 16
    attrs_at = 104 + len(ids)
    attrs = b"".join(event.attr + struct.pack("<QQ", 104 + 8 * i, 8) for i, event in enumerate(events))
    data_at = attrs_at + len(attrs)
    bits = sum(1 << number for number in features).to_bytes(32, "little")
    size = len(data) if data_size is None else data_size
    header = b"PERFILE2" + struct.pack("<8Q", 104, entry, attrs_at, len(attrs), data_at, size, 0, 0) + bits
    place = data_at + len(data) + 16 * len(features)
    table = body = b""
    for number in sorted(features):
        table += struct.pack("<QQ", place + len(body), len(features[number]))
        body += features[number]
    path.write_bytes(header + ids + attrs + data + table + body)
    return path


def write_pipe(path: Path, events: Sequence[Event], records: Iterable[bytes]) -> Path:
    """A stream, as `perf record -o -` writes it."""
    stream = b"PERFILE2" + struct.pack("<Q", 16)
    for event in events:
        stream += record(64, 0, event.attr + struct.pack("<Q", event.number))
    if any(event.name for event in events):
        description = event_desc(events)
        stream += record(80, 0, struct.pack("<Q", 12) + description + b"\0" * (-len(description) % 8))
    path.write_bytes(stream + b"".join(records))
    return path


def read(path: Path, **options: object) -> Profile:
    """Read a recording without symbol servers."""
    with open_source(path) as source:
        return perfdata.read(source, ReadOptions(downloads=False, **options))  # type: ignore[arg-type]


def stacks(profile: Profile) -> Counter[Stack]:
    """Samples by comm, pid, tid and stack, root first."""
    found: Counter[Stack] = Counter()
    rows = profile.samples
    for stack, thread, count in zip(rows.stack.tolist(), rows.thread.tolist(), rows.count.tolist(), strict=True):
        who = profile.threads[thread]
        names = tuple(profile.frames[number].name for number in profile.stacks[stack].tolist())
        found[who.comm, who.pid, who.tid, names] += count
    return found


_HEAD = re.compile(r"(.*?) +(-?\d+)/(-?\d+) +[\d.]+: +(\d+) (.+?): *")
_FRAME = re.compile(r"\s+([0-9a-f]+) (\[unknown\]|.*\+0x[0-9a-f]+|\S+) \((.*)\)")
_PROGRAM = re.compile(r".*PERF_RECORD_KSYMBOL addr ([0-9a-f]+) len (\d+) .*? name (\S+)")
_FIELDS = "comm,pid,tid,time,period,event,ip,sym,symoff,dso"


Programs = list[tuple[int, int, str]]


def programs(recording: Path) -> Programs:
    """BPF programs that were in the kernel: first address, last, name. They may be unloaded meanwhile:
    what `perf script` calls them depends on whether they are still there, the recording does not.
    """
    command = ["perf", "script", "-f", "--show-bpf-events", "-F", "comm,time", "-i", str(recording)]
    done = subprocess.run(command, capture_output=True, check=True)
    found = map(_PROGRAM.fullmatch, done.stdout.decode(errors="replace").splitlines())
    return [(int(one[1], 16), int(one[1], 16) + int(one[2]), one[3]) for one in found if one]


def program_at(known: Programs, address: int) -> str:
    """The program that holds an address or a return address; "" if none does."""
    return next((name for first, last, name in known if first <= address <= last), "")


class Reference:
    """`perf script`, folded line by line by FlameGraph's rules for names."""

    def __init__(self, recording: Path, event: str | None = None) -> None:
        self.samples: Counter[Stack] = Counter()
        self.weights: Counter[Stack] = Counter()
        self._programs = programs(recording)
        command = ["perf", "script", "-f", "--no-inline", "-F", _FIELDS, "-i", str(recording)]
        done = subprocess.run(command, capture_output=True, check=True)
        for sample in done.stdout.decode(errors="replace").split("\n\n"):
            lines = [line for line in sample.split("\n") if line.strip()]
            if not lines:
                continue
            head = _HEAD.fullmatch(lines[0])
            assert head, lines[0]
            if event is None or head[5].strip().partition(":")[0] == event:
                frames = tuple(self._frame(line) for line in reversed(lines[1:]))
                key = (head[1].strip(), int(head[2]), int(head[3]), frames)
                self.samples[key] += 1
                self.weights[key] += int(head[4])

    def _frame(self, line: str) -> str:
        found = _FRAME.fullmatch(line)
        assert found, line
        if program := program_at(self._programs, int(found[1], 16)):
            return program
        name = re.sub(r"\+0x[0-9a-f]+$", "", found[2])
        if name != "[unknown]":
            return name
        return name if found[3] == "[unknown]" else f"[{found[3].rpartition('/')[2]}]"


class Tools:
    """The functions of this module, for tests."""

    event, round = Event, ROUND
    record = staticmethod(record)
    write_file, write_pipe = staticmethod(write_file), staticmethod(write_pipe)
    read, stacks = staticmethod(read), staticmethod(stacks)
    feature_string = staticmethod(feature_string)
    reference = Reference
    programs, program_at = staticmethod(programs), staticmethod(program_at)
    kernel, user, usual = KERNEL, USER, USUAL
    ip, tid, time, addr, read_bit, callchain, id, cpu, period, stream_id, raw, identifier = (
        IP,
        TID,
        TIME,
        ADDR,
        READ,
        CALLCHAIN,
        ID,
        CPU,
        PERIOD,
        STREAM_ID,
        RAW,
        IDENTIFIER,
    )


@pytest.fixture(scope="session")
def perf() -> type[Tools]:
    """How to write recordings, read them and compare."""
    return Tools


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write records of events to a file: `save([event], record, record, …)`."""

    def write(events: Sequence[Event], *records: bytes, **more: object) -> Path:
        return write_file(tmp_path / "perf.data", events, records, **more)  # type: ignore[arg-type]

    return write
