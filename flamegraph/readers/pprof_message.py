"""The tables of a pprof message, still by number."""

from __future__ import annotations

from typing import NamedTuple

from flamegraph.wire import WireError, encode_varint, fields, packed, signed

MOST_INLINED = 1 << 12
DEEPEST = 1 << 20
MOST_FRAMES = 1 << 26


class Location(NamedTuple):
    """An address: its mapping's number, and the functions' numbers, innermost inlined one first."""

    mapping: int
    address: int
    functions: tuple[int, ...]


class Sample(NamedTuple):
    """A stack as it is stored (raw bytes of its locations' numbers, leaf first), a value a type, labels."""

    locations: bytes
    values: list[int]
    labels: tuple[tuple[int, int, int], ...]
    offset: int


class Message:
    """Parsed on demand; after a `WireError` what stands before the break is there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.types: list[tuple[int, int]] = []
        self.samples: list[Sample] = []
        self.mappings: dict[int, int] = {}
        """Number -> name of the file, in the strings."""
        self.locations: dict[int, Location] = {}
        self.functions: dict[int, int] = {}
        """Number -> name, in the strings."""
        self.strings: list[bytes] = []
        self.comments: list[int] = []
        self.duration_ns = 0
        self.default_type = 0

    def parse(self) -> None:
        """Fill the tables. Raises `WireError`."""
        tables = {
            1: self._type,
            2: self._sample,
            3: self._mapping,
            4: self._location,
            5: self._function,
            6: self._string,
            13: self._comments,
        }
        for number, value, end in fields(self.data, 0, len(self.data)):
            if end >= 0 and number in tables:
                tables[number](value, end)
            elif number == 13:
                self.comments.append(value)
            elif number == 10 and end < 0:
                self.duration_ns = signed(value)
            elif number == 14 and end < 0:
                self.default_type = value

    def _type(self, start: int, end: int) -> None:
        kind = self._numbers(start, end)
        self.types.append((kind.get(1, 0), kind.get(2, 0)))

    def _mapping(self, start: int, end: int) -> None:
        mapping = self._numbers(start, end)
        self.mappings[mapping.get(1, 0)] = mapping.get(5, 0)

    def _function(self, start: int, end: int) -> None:
        function = self._numbers(start, end)
        self.functions[function.get(1, 0)] = function.get(2, 0) or function.get(3, 0)

    def _string(self, start: int, end: int) -> None:
        self.strings.append(self.data[start:end])

    def _comments(self, start: int, end: int) -> None:
        self.comments += packed(self.data, start, end)

    def _numbers(self, start: int, end: int) -> dict[int, int]:
        return {number: value for number, value, stop in fields(self.data, start, end) if stop < 0}

    def _sample(self, start: int, end: int) -> None:
        data, locations, labels = self.data, b"", []
        values: list[int] = []
        for number, value, stop in fields(data, start, end):
            if number == 1:
                # An unpacked number has the same bytes as a packed one of its own.
                locations += data[value:stop] if stop >= 0 else encode_varint(value)
            elif number == 2:
                values += [signed(value)] if stop < 0 else map(signed, packed(data, value, stop))
            elif number == 3 and stop >= 0:
                label = self._numbers(value, stop)
                labels.append((label.get(1, 0), label.get(2, 0), signed(label.get(3, 0))))
        self.samples.append(Sample(locations, values, tuple(labels), start))

    def _location(self, start: int, end: int) -> None:
        number = mapping = address = 0
        functions = []
        for field, value, stop in fields(self.data, start, end):
            if field == 1 and stop < 0:
                number = value
            elif field == 2 and stop < 0:
                mapping = value
            elif field == 3 and stop < 0:
                address = value
            elif field == 4 and stop >= 0:
                functions.append(self._numbers(value, stop).get(1, 0))
        if len(functions) > MOST_INLINED:
            raise WireError(f"a location of {len(functions)} inlined functions", start)
        self.locations[number] = Location(mapping, address, tuple(functions))
