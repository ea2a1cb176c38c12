"""pprof profiles (profile.proto of github.com/google/pprof) for `go tool pprof` and other readers.

Values of a sample: samples/count, and the weight in its unit. Labels: comm, pid, tid. The format has no time intervals:
they are summed.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Frame, Kind, Thread
from flamegraph.wire import bytes_field, encode_varint, number_field, packed_field

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.writers import WriteOptions

SUFFIXES = (".pb.gz", ".pprof")

_UNITS = {"ns": "nanoseconds", "samples": "count"}
_MODULES = {Kind.KERNEL: "[kernel]", Kind.JIT: "[JIT]"}
_ROUNDED = "The format has integers only: weights were rounded."
_LEVEL = 6


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The compressed message; equal profiles give equal bytes."""
    return gzip.compress(_Message(profile).encode(options.title), _LEVEL, mtime=0)


class _Message:
    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._strings = {"": 0}
        self._mappings: dict[str, int] = {}
        self._functions: dict[str, int] = {}
        self._locations: dict[tuple[int, ...], int] = {}
        self._parts: list[bytes] = []

    def encode(self, title: str) -> bytes:
        info = self._profile.info
        types = (("samples", "count"), (info.event or "weight", _UNITS.get(info.unit, info.unit)))
        encoded = [self._value_type(kind, unit) for kind, unit in types]
        self._parts += [bytes_field(1, kind) for kind in encoded]
        self._samples()
        # pprof shows the first mapping as the program.
        mappings = sorted(self._mappings.items(), key=lambda item: item[0].startswith("["))
        self._parts += [bytes_field(3, self._mapping(name, number)) for name, number in mappings]
        comments = [title or info.title, *info.notes]
        weight = self._profile.samples.weight
        if not np.array_equal(weight, np.rint(weight)):
            comments.append(_ROUNDED)
        self._parts += [
            number_field(10, round(info.seconds * 1e9)),
            bytes_field(11, encoded[1]),
            number_field(12, round(self._profile.total / self._profile.count) if self._profile.count else 0),
            *(number_field(13, self._string(comment)) for comment in comments if comment),
            number_field(14, self._string(types[1][0])),
        ]
        texts = [bytes_field(6, text.encode("utf-8", "backslashreplace")) for text in self._strings]
        return b"".join(self._parts + texts)

    def _samples(self) -> None:
        samples, stacks = self._profile.samples, self._profile.stacks
        threads = max(len(self._profile.threads), 1)
        pairs, row = np.unique(samples.stack * threads + samples.thread, return_inverse=True)
        counts = np.rint(np.bincount(row, samples.count, len(pairs))).astype(np.int64).tolist()
        weights = np.rint(np.bincount(row, samples.weight, len(pairs))).astype(np.int64).tolist()
        numbers, owners = (column.tolist() for column in np.divmod(pairs, threads))
        labels = [self._labels(thread) for thread in self._profile.threads]
        bodies = {number: self._stack(stacks[number].tolist()) for number in set(numbers)}
        for number, thread, count, weight in zip(numbers, owners, counts, weights, strict=True):
            content = bodies[number] + packed_field(2, (count, weight)) + labels[thread]
            self._parts.append(bytes_field(2, content))

    def _stack(self, frames: list[int]) -> bytes:
        """Numbers of locations, leaf first; a location is a function with the functions inlined into it."""
        groups: list[list[int]] = []
        for frame in frames:
            if groups and self._profile.frames[frame].kind is Kind.INLINED:
                groups[-1].append(frame)
            else:
                groups.append([frame])
        return packed_field(1, [self._location(tuple(group)) for group in reversed(groups)])

    def _location(self, group: tuple[int, ...]) -> int:
        number = self._locations.get(group)
        if number is None:
            number = self._locations[group] = len(self._locations) + 1
            frames = [self._profile.frames[frame] for frame in group]
            content = number_field(1, number) + number_field(2, self._mapping_of(frames[0]))
            for frame in reversed(frames):
                content += bytes_field(4, number_field(1, self._function(frame.name)))
            self._parts.append(bytes_field(4, content))
        return number

    def _function(self, name: str) -> int:
        number = self._functions.get(name)
        if number is None:
            number = self._functions[name] = len(self._functions) + 1
            text = self._string(name)
            self._parts.append(bytes_field(5, number_field(1, number) + number_field(2, text) + number_field(3, text)))
        return number

    def _mapping_of(self, frame: Frame) -> int:
        module = frame.module or _MODULES.get(frame.kind, "")
        return self._mappings.setdefault(module, len(self._mappings) + 1) if module else 0

    def _mapping(self, module: str, number: int) -> bytes:
        # has_functions: pprof must not symbolize with files of this machine.
        return number_field(1, number) + number_field(5, self._string(module)) + number_field(7, 1)

    def _labels(self, thread: Thread) -> bytes:
        labels = b""
        if thread.comm:
            labels += bytes_field(3, number_field(1, self._string("comm")) + number_field(2, self._string(thread.comm)))
        for key, number in (("pid", thread.pid), ("tid", thread.tid)):
            if number >= 0:
                # 0 is the id of the swapper: it has to be written, unlike other zeros.
                value = encode_varint(3 << 3) + encode_varint(number)
                labels += bytes_field(3, number_field(1, self._string(key)) + value)
        return labels

    def _value_type(self, kind: str, unit: str) -> bytes:
        return number_field(1, self._string(kind)) + number_field(2, self._string(unit))

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))
