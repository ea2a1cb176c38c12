"""The profile that a pprof message describes."""

from __future__ import annotations

from flamegraph.builder import Builder
from flamegraph.errors import BrokenProfileError, ProfileError
from flamegraph.frames import UNKNOWN, Frame, Kind, Thread
from flamegraph.profile import Info, Profile
from flamegraph.readers.options import ReadOptions
from flamegraph.readers.perf_names import kind_of_module
from flamegraph.readers.pprof_message import DEEPEST, MOST_FRAMES, Location, Message, Sample
from flamegraph.readers.text import Salvager, decode
from flamegraph.wire import WireError, packed

_COMM = ("comm", "thread", "thread_name", "thread name", "process", "process_name")
_PID = ("pid", "process_id", "process id")
_TID = ("tid", "thread_id", "thread id")
_UNITS = {"nanoseconds": "ns"}
_MISSING = "Names are missing from the file; functions without one are shown as unknown."
_COUNTER = ("samples", "count")


def assemble(message: Message, name: str, options: ReadOptions, salvager: Salvager) -> Profile:
    """Resolve every number. Raises `BrokenProfileError` naming the byte; salvaging, the rest stands as unknown."""
    tables = _Tables(message, options)
    column = tables.value_column(name)
    try:
        for sample in message.samples:
            tables.add(sample, column)
    except WireError as error:
        salvager.broken(f"Byte {error.offset}: {error.message}")
    if tables.negative:
        raise ProfileError(
            f"{name} has negative values: it is a comparison, and not a profile.",
            hint="Give the two profiles that it was made of to --diff.",
        )
    if not message.samples:
        salvager.broken("There is no sample in it")
    return tables.builder.profile(tables.info(column, salvager))


class _Tables:
    def __init__(self, message: Message, options: ReadOptions) -> None:
        self._message, self._options = message, options
        self.builder = Builder()
        self.negative = False
        self.missing = False
        """Something that a number points to is not there, and is shown as unknown."""
        self._stacks: dict[bytes, int] = {}
        self._locations: dict[int, list[int]] = {}
        self._threads: dict[tuple[tuple[int, int, int], ...], int] = {}
        self._frames = 0
        self._types = [(self._text(kind), self._text(unit)) for kind, unit in message.types]
        self._counter = self._types.index(_COUNTER) if _COUNTER in self._types else -1
        self._samples_only = True

    def value_column(self, name: str) -> int:
        """Which of a sample's values is wanted. Raises `ProfileError` if there is no such type."""
        wanted = self._options.event
        default = self._text(self._message.default_type) if self._message.default_type else ""
        if not self._types:
            raise BrokenProfileError(f"{name} does not say what its samples count: it is no whole profile of pprof.")
        for column, (kind, unit) in enumerate(self._types):
            if (wanted or default) in (kind, f"{kind}/{unit}"):
                return column
        if wanted:
            types = ", ".join(kind for kind, _ in self._types)
            raise ProfileError(f"{name} has no samples of the event {wanted}.", hint=f"Choose one of {types}.")
        return len(self._types) - 1

    def add(self, sample: Sample, column: int) -> None:
        """Add one sample. Raises `WireError` with its place."""
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
        """How it was taken."""
        kind, unit = self._types[column]
        # alloc_objects/count counts objects; a count that is the number of samples counts samples.
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

    def _stack(self, sample: Sample) -> int:
        locations = packed(sample.locations, 0, len(sample.locations))
        numbers: list[int] = []
        for location in reversed(locations):
            known = self._locations.get(location)
            numbers += self._location(location, sample.offset) if known is None else known
            if len(numbers) > DEEPEST:
                raise WireError(f"a stack of more than {DEEPEST} frames", sample.offset)
        self._frames += len(numbers)
        if self._frames > MOST_FRAMES:
            raise WireError(f"more than {MOST_FRAMES} frames in all stacks", sample.offset)
        return self.builder.stack(numbers)

    def _location(self, number: int, offset: int) -> list[int]:
        location = self._message.locations.get(number)
        if location is None:
            if not self._options.salvage:
                raise WireError(f"a sample in the location {number}, which is not there", offset)
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
            raise WireError(f"the function {function} is not there", offset)
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
        raise BrokenProfileError(f"The string {number} is not there: the profile has {len(strings)}.")
