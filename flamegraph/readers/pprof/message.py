"""A pprof message: its tables, and the profile that they describe."""

from __future__ import annotations

from typing import NamedTuple

from flamegraph.builder import Builder
from flamegraph.errors import BrokenProfileError, ProfileError
from flamegraph.frames import UNKNOWN, Frame, Kind, Thread
from flamegraph.names import kind_of_module
from flamegraph.profile import Info, Profile
from flamegraph.readers import ReadOptions
from flamegraph.readers.source import InputSource, Salvager, chunks, decode
from flamegraph.wire import WireError, encode_varint, fields, packed, signed

MAX_SIZE = 1 << 29
MAX_INLINED = 1 << 12
MAX_DEPTH = 1 << 20
MAX_FRAMES = 1 << 26


class Location(NamedTuple):
    """An address: the number of its mapping, and the numbers of its functions, innermost inlined one first."""

    mapping: int
    address: int
    functions: tuple[int, ...]


class PprofSample(NamedTuple):
    """A stack as stored (encoded location numbers, leaf first), one value per sample type, and labels."""

    locations: bytes
    values: list[int]
    labels: tuple[tuple[int, int, int], ...]
    offset: int


class Message:
    """The tables of a message by number. After a `WireError` they contain everything before the error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.types: list[tuple[int, int]] = []
        self.samples: list[PprofSample] = []
        self.mappings: dict[int, int] = {}
        """Index of the file name in the strings, by number."""
        self.locations: dict[int, Location] = {}
        self.functions: dict[int, int] = {}
        """Index of the name in the strings, by number."""
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
                # An unpacked number has the same bytes as a packed list of one number.
                locations += data[value:stop] if stop >= 0 else encode_varint(value)
            elif number == 2:
                values += [signed(value)] if stop < 0 else map(signed, packed(data, value, stop))
            elif number == 3 and stop >= 0:
                label = self._numbers(value, stop)
                labels.append((label.get(1, 0), label.get(2, 0), signed(label.get(3, 0))))
        self.samples.append(PprofSample(locations, values, tuple(labels), start))

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
        if len(functions) > MAX_INLINED:
            raise WireError(f"a location of {len(functions)} inlined functions", start)
        self.locations[number] = Location(mapping, address, tuple(functions))


_COMM = ("comm", "thread", "thread_name", "thread name", "process", "process_name")
_PID = ("pid", "process_id", "process id")
_TID = ("tid", "thread_id", "thread id")
_UNITS = {"nanoseconds": "ns"}
_MISSING = "The file lacks names; functions without a name are shown as [unknown]."
_COUNTER = ("samples", "count")


def read_message(source: InputSource, options: ReadOptions) -> Profile:
    """Read a pprof file. Raises `BrokenProfileError` with the byte offset of the corruption."""
    salvager = Salvager(source.name, options.salvage)
    data = bytearray()
    for chunk in chunks(source, salvager):
        data += chunk
        if len(data) > MAX_SIZE:
            raise ProfileError(f"{source.name} is larger than {MAX_SIZE >> 20} MiB, the limit for pprof profiles.")
    message = Message(bytes(data))
    try:
        message.parse()
    except WireError as error:
        salvager.broken(f"Byte {error.offset}: {error.message}")
    return _assemble(message, source.name, options, salvager)


def _assemble(message: Message, name: str, options: ReadOptions, salvager: Salvager) -> Profile:
    """Resolve every number. Raises `BrokenProfileError`; when salvaging, missing entries become `[unknown]`."""
    tables = _Tables(message, options)
    column = tables.value_column(name)
    try:
        for sample in message.samples:
            tables.add(sample, column)
    except WireError as error:
        salvager.broken(f"Byte {error.offset}: {error.message}")
    if tables.negative:
        raise ProfileError(
            f"{name} has negative values: it is a comparison, not a profile.",
            hint="Pass the two profiles that were compared to --diff.",
        )
    if not message.samples:
        salvager.broken("It contains no sample")
    return tables.builder.profile(tables.info(column, salvager))


class _Tables:
    def __init__(self, message: Message, options: ReadOptions) -> None:
        self._message, self._options = message, options
        self.builder = Builder()
        self.negative = False
        self.missing = False
        """Whether any number refers to a missing entry, which is shown as `[unknown]`."""
        self._stacks: dict[bytes, int] = {}
        self._locations: dict[int, list[int]] = {}
        self._threads: dict[tuple[tuple[int, int, int], ...], int] = {}
        self._frames = 0
        self._types = [(self._text(kind), self._text(unit)) for kind, unit in message.types]
        self._counter = self._types.index(_COUNTER) if _COUNTER in self._types else -1
        self._samples_only = True

    def value_column(self, name: str) -> int:
        """The index of the wanted value of each sample. Raises `ProfileError` for an unknown type."""
        wanted = self._options.event
        default = self._text(self._message.default_type) if self._message.default_type else ""
        if not self._types:
            raise BrokenProfileError(f"{name} has no sample types: it is not a complete pprof profile.")
        for column, (kind, unit) in enumerate(self._types):
            if (wanted or default) in (kind, f"{kind}/{unit}"):
                return column
        if wanted:
            types = ", ".join(kind for kind, _ in self._types)
            raise ProfileError(f"{name} has no samples of the event {wanted}.", hint=f"Choose one of {types}.")
        return len(self._types) - 1

    def add(self, sample: PprofSample, column: int) -> None:
        """Add one sample. Raises `WireError` with its offset."""
        stack = self._stacks.get(sample.locations)
        if stack is None:
            stack = self._stacks[sample.locations] = self._stack(sample)
        thread = self._threads.get(sample.labels)
        if thread is None:
            thread = self._threads[sample.labels] = self.builder.thread(self._thread(sample.labels))
        if len(sample.values) != len(self._types):
            raise WireError(f"{len(sample.values)} values for {len(self._types)} types", sample.offset)
        weight = sample.values[column]
        self.negative = self.negative or weight < 0
        count = max(sample.values[self._counter], 0) if self._counter >= 0 else 0
        self._samples_only = self._samples_only and count == weight
        if weight:
            self.builder.add(stack, thread, count=count, weight=weight)

    def info(self, column: int, salvager: Salvager) -> Info:
        """Recording details."""
        kind, unit = self._types[column]
        # alloc_objects/count counts objects; a count that equals the number of samples counts samples.
        counted = "samples" if self._samples_only or kind in ("weight", "samples", "") else kind
        comments = [self._text(number) for number in self._message.comments[:100]]
        return Info(
            event="" if kind in ("weight", "samples") else kind,
            unit=counted if unit in ("count", "") else _UNITS.get(unit, unit),
            seconds=max(self._message.duration_ns, 0) / 1e9,
            notes=(*salvager.notes, *([_MISSING] if self.missing else []), *filter(None, comments)),
            other_events=tuple(
                name for i, (name, _) in enumerate(self._types) if i != column and name not in ("samples", "")
            ),
        )

    def _stack(self, sample: PprofSample) -> int:
        locations = packed(sample.locations, 0, len(sample.locations))
        numbers: list[int] = []
        for location in reversed(locations):
            known = self._locations.get(location)
            numbers += self._location(location, sample.offset) if known is None else known
            if len(numbers) > MAX_DEPTH:
                raise WireError(f"a stack of more than {MAX_DEPTH} frames", sample.offset)
        self._frames += len(numbers)
        if self._frames > MAX_FRAMES:
            raise WireError(f"more than {MAX_FRAMES} frames in all stacks", sample.offset)
        return self.builder.stack(numbers)

    def _location(self, number: int, offset: int) -> list[int]:
        location = self._message.locations.get(number)
        if location is None:
            if not self._options.salvage:
                raise WireError(f"a sample refers to the location {number}, which is missing", offset)
            self.missing = True
            location = Location(0, 0, ())
        module = self._text(self._message.mappings.get(location.mapping, 0))
        kind = kind_of_module(module)
        frames = [self._frame(number, module, kind, offset) for number in reversed(location.functions)]
        frames[1:] = [frame._replace(kind=Kind.INLINED) for frame in frames[1:]]
        if not frames:
            frames = [Frame(self._without_name(location, module), module, Kind.UNKNOWN)]
        numbers = self._locations[number] = [self.builder.frame(frame) for frame in frames]
        return numbers

    def _frame(self, function: int, module: str, kind: Kind, offset: int) -> Frame:
        string = self._message.functions.get(function)
        if string is None and not self._options.salvage:
            raise WireError(f"the function {function} is missing", offset)
        self.missing = self.missing or string is None
        name = self._text(string or 0) or UNKNOWN
        unknown = name.isspace() or (name.startswith("[") and name.endswith("]"))
        return Frame(name, module, Kind.UNKNOWN if unknown else kind)

    def _without_name(self, location: Location, module: str) -> str:
        name = module.rpartition("/")[2].strip("[]") or "unknown"
        return f"[{name} <{location.address:x}>]" if self._options.addresses else f"[{name}]"

    def _thread(self, labels: tuple[tuple[int, int, int], ...]) -> Thread:
        texts: dict[str, str] = {}
        numbers: dict[str, int] = {}
        for key, text, number in labels:
            name = self._text(key)
            if text:
                texts[name] = self._text(text)
            else:
                numbers[name] = number
        numbers |= {name: int(text) for name, text in texts.items() if text.isascii() and text.isdigit()}
        comm = next((texts[name] for name in _COMM if name in texts), "")
        pid, tid = (next((numbers[name] for name in names if name in numbers), -1) for names in (_PID, _TID))
        return Thread(pid, tid, comm)

    def _text(self, number: int) -> str:
        strings = self._message.strings
        if number < len(strings):
            return decode(strings[number])
        if self._options.salvage or not number:
            self.missing = self.missing or number > 0
            return ""
        raise BrokenProfileError(f"The string {number} is missing: the profile has {len(strings)}.")
