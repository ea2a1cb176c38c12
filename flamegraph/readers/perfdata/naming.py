"""From raw stacks and contexts to a Profile: each address is named once, equal stacks are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Samples, Stacks
from flamegraph.readers import ReadOptions
from flamegraph.readers.perfdata.formats import FIRST_MARKER, MARKERS, Mode
from flamegraph.readers.perfdata.samples import SampleSums
from flamegraph.readers.perfdata.stack_table import StackHasher, runs
from flamegraph.readers.perfdata.symbolizing import RecordedKernel, UserFrames, tidied, with_address
from flamegraph.readers.perfdata.thread_contexts import KernelSpan, Layout, ThreadContext
from flamegraph.symbols.symbolizer import Symbolizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from flamegraph.readers.perfdata.scan import Scan
    from flamegraph.readers.perfdata.walk import Ints, Words

    Bools = npt.NDArray[np.bool_]
    Modes = npt.NDArray[np.uint8]

# A table is faster than a sort unless it is much larger than the number of keys.
_LARGEST_TABLE = 1 << 23
# A few keys are sorted faster than a wide table is cleared and scanned.
_LARGEST_TABLE_BY_KEY = 16
# Prefix of the symbols that objtool creates for padding (x86, CONFIG_FUNCTION_PADDING_CFI).
_PADDING = "__pfx_"
_UNMAPPED = Frame("[unknown]", "", Kind.UNKNOWN)


@dataclass(frozen=True)
class RawStacks:
    """All unique stacks without markers, leaf first."""

    start: Ints
    length: Ints
    address: Ints
    """Twice the number of the address, plus one for a leaf: callers are looked up one byte before their address."""
    mode: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class NamedStacks:
    """Named frames, stacks, threads and samples."""

    frames: list[Frame]
    stacks: Stacks
    threads: list[Thread]
    samples: Samples
    truncated: int
    notes: tuple[str, ...]


class Image:
    """Maps, kernel code and language in which the addresses of a stack are looked up."""

    def __init__(self, context: ThreadContext, java: bool) -> None:
        self.maps, self.kernel, self.comm, self.java = context.maps, context.kernel, context.comm, java


def name_all(scan: Scan, options: ReadOptions) -> NamedStacks:
    """Name all sampled addresses."""
    sums = scan.rows.sums()
    raw, words = _raw_stacks(scan)
    images, image_of = _images(scan.threads.contexts, options)
    # Sorted by image: all addresses of one image are adjacent.
    pairs, pair = _once(image_of[sums.context] * np.int64(len(raw.length)) + sums.stack)
    image, stack = np.divmod(pairs, max(len(raw.length), 1))
    symbolizer = Symbolizer(options.symbols_root, options.downloads)
    kernel = RecordedKernel(
        symbolizer, scan.features, scan.threads.kernel_maps, options.symbols_root, scan.kernel_symbols
    )
    frames, columns = _Namer(raw, words, images, symbolizer, kernel, options).frames(stack, image)
    named, number = _unique(columns, raw.length[stack])
    named, frames = _split_inlined(named, frames)
    threads, thread_of = _threads(scan.threads.contexts)
    samples = _samples(sums, number[pair], thread_of[sums.context])
    assert scan.event
    cut = raw.length >= scan.event.stack_limit
    truncated = int(sums.samples[cut[sums.stack]].sum())
    notes = (*kernel.notes, *symbolizer.notes())
    return NamedStacks(frames, named, threads, samples, truncated, notes)


def _raw_stacks(scan: Scan) -> tuple[RawStacks, Words]:
    numbers, lengths, modes = scan.stacks.columns()
    words = scan.stacks.addresses.addresses()
    is_marker = words >= np.uint64(FIRST_MARKER)
    marker_mode = np.zeros(len(words), np.uint8)
    for value, meant in MARKERS.items():
        marker_mode[words == np.uint64(value & (1 << 64) - 1)] = meant
    start = np.cumsum(lengths) - lengths
    marked = is_marker[numbers]
    mode = _modes(marked, marker_mode[numbers], start, lengths, modes)
    leaf = np.concatenate(([True], marked[:-1])) if len(marked) else marked
    leaf[start[lengths > 0]] = True
    keep = ~marked
    counted = np.concatenate(([0], np.cumsum(keep)))
    length = counted[start + lengths] - counted[start]
    address = (2 * numbers.astype(np.int64) + leaf)[keep]
    return RawStacks(np.cumsum(length) - length, length, address, mode[keep]), words


def _modes(marked: Bools, meant: Modes, start: Ints, lengths: Ints, first: Ints) -> Modes:
    """The mode of each word: that of the last marker before it, or that of the sample before the first marker."""
    turns = np.flatnonzero(marked)
    edges = np.concatenate((start[lengths > 0], turns))
    modes = np.concatenate((first[lengths > 0].astype(np.uint8), meant[turns]))
    # A marker at the start of a stack takes precedence over the mode of the sample.
    order = np.argsort(edges, kind="stable")
    edges, modes = edges[order], modes[order]
    return np.repeat(modes, np.diff(edges, append=len(marked)))


def _images(contexts: list[ThreadContext], options: ReadOptions) -> tuple[list[Image], Ints]:
    """The different images, in the order of their contexts, and the image number of each context."""
    numbers: dict[tuple[int, int, bool], int] = {}
    images: list[Image] = []
    image_of = []
    for context in contexts:
        java = context.comm.startswith("java") and not options.java_only_by_name
        key = (context.maps.number if context.maps else -1, context.kernel.number, java)
        if key not in numbers:
            numbers[key] = len(images)
            images.append(Image(context, java))
        image_of.append(numbers[key])
    return images, np.array(image_of, np.int64)


class _Namer:
    """Finds the frame numbers of each (stack, image) pair."""

    def __init__(
        self,
        raw: RawStacks,
        words: Words,
        images: list[Image],
        symbolizer: Symbolizer,
        kernel: RecordedKernel,
        options: ReadOptions,
    ) -> None:
        self._raw, self._words, self._images = raw, words, images
        self._kernel, self._addresses = kernel, options.addresses
        self._user = UserFrames(symbolizer, options.addresses)
        self._numbers: dict[Frame, int] = {_UNMAPPED: 0}
        self._slots = 0

    def frames(self, stack: Ints, image: Ints) -> tuple[list[Frame], npt.NDArray[np.int32]]:
        """All frames, and the frame numbers of each pair, root first, concatenated."""
        lengths = self._raw.length[stack]
        # Root first.
        index = runs(-(self._raw.start[stack] + lengths - 1), lengths)
        np.negative(index, out=index)
        address, mode = self._raw.address[index], self._raw.mode[index]
        del index
        result = np.zeros(len(address), np.int32)
        image_word = np.repeat(image.astype(np.int32), lengths)
        self._kernel_words(result, address, mode == Mode.KERNEL, image_word)
        self._user_words(result, address, mode == Mode.USER, image_word)
        return list(self._numbers), result

    def _kernel_words(
        self, result: npt.NDArray[np.int32], address: Ints, own: Bools, image: npt.NDArray[np.int32]
    ) -> None:
        layouts: dict[int, Layout[KernelSpan]] = {each.kernel.number: each.kernel for each in self._images}
        for number, layout in layouts.items():
            if len(layouts) > 1:
                among = np.array([each.kernel.number == number for each in self._images])
                places = np.flatnonzero(own & among[image])
            else:
                places = np.flatnonzero(own)
            asked = address[places]
            present, table = self._present(asked)
            ips, looked_up = self._ips(present)
            frames = tidied(self._interrupted(self._kernel.frames(looked_up, layout), ips, layout))
            if self._addresses:
                frames = [with_address(frame, ip) for frame, ip in zip(frames, ips.tolist(), strict=True)]
            table[present] = self._intern(frames)
            result[places] = table[asked]

    def _interrupted(self, frames: list[Frame], ips: Words, layout: Layout[KernelSpan]) -> list[Frame]:
        """Look up callers in the padding before a function again at their own address.

        No call comes from the padding, so the address is that of an interrupted function.
        """
        places = [place for place, frame in enumerate(frames) if frame.name.startswith(_PADDING)]
        for place, frame in zip(places, self._kernel.frames(ips[places], layout), strict=True):
            frames[place] = frame
        return frames

    def _user_words(
        self, result: npt.NDArray[np.int32], address: Ints, own: Bools, image: npt.NDArray[np.int32]
    ) -> None:
        """Number each (image, address), look up all addresses file by file, then replace numbers by frames."""
        places = np.flatnonzero(own)
        asked, edges = address[places], np.searchsorted(image[places], np.arange(len(self._images) + 1))
        slot, count = np.zeros(len(places), np.int32), 0
        for each, low, high in zip(self._images, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if low == high:
                continue
            present, number = _numbered(asked[low:high], 2 * len(self._words))
            slot[low:high] = count + number
            slots = np.arange(count, count + len(present))
            self._user.request(each.maps, each.comm, each.java, slots, *self._ips(present))
            count += len(present)
        slots, numbers = self._user.resolve(self._intern)
        table = np.zeros(count, np.int32)
        table[slots] = numbers
        result[places] = table[slot]

    def _present(self, asked: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
        """The different addresses, and an empty table indexed by them."""
        flags = np.zeros(2 * len(self._words), bool)
        flags[asked] = True
        return np.flatnonzero(flags), np.zeros(2 * len(self._words), np.int32)

    def _ips(self, address: Ints) -> tuple[Words, Words]:
        """The addresses, and the addresses to look up: a return address may lie after the end of its function."""
        ips = self._words[address >> 1]
        return ips, ips - ((address & 1) ^ 1).astype(np.uint64) * (ips > 0)

    def _intern(self, frames: list[Frame]) -> npt.NDArray[np.int32]:
        numbers = self._numbers
        return np.fromiter((numbers.setdefault(frame, len(numbers)) for frame in frames), np.int32, len(frames))


def _unique(frames: npt.NDArray[np.int32], lengths: Ints) -> tuple[Stacks, Ints]:
    """Merge stacks with equal names; returns the number of each stack, too."""
    starts = np.cumsum(lengths) - lengths
    words = np.zeros(len(frames) + 1, np.uint64)
    # Numbers start at 1: both hashes of a run of zeros are equal for any length.
    words[:-1] = frames + 1
    first, second = StackHasher().hash(words, starts, lengths)
    _, index, number = np.unique(first ^ second, return_index=True, return_inverse=True)
    kept = runs(starts[index], lengths[index])
    return Stacks(np.concatenate(([0], np.cumsum(lengths[index]))), frames[kept].astype(np.int64)), number.reshape(-1)


def _split_inlined(stacks: Stacks, frames: list[Frame]) -> tuple[Stacks, list[Frame]]:
    """Split `a->b` of a JIT: b is inlined into a."""
    split = {number: frame for number, frame in enumerate(frames) if frame.kind is Kind.JIT and "->" in frame.name}
    if not split:
        return stacks, frames
    numbers = {frame: number for number, frame in enumerate(frames)}
    parts = [[number] for number in range(len(frames))]
    for number, frame in split.items():
        first, *others = frame.name.split("->")
        whole = [frame._replace(name=first)] + [Frame(name, frame.module, Kind.INLINED) for name in others]
        parts[number] = [numbers.setdefault(part, len(numbers)) for part in whole]
    sizes = np.array([len(part) for part in parts], np.int64)
    flat = np.array([number for part in parts for number in part], np.int64)
    starts = np.cumsum(sizes) - sizes
    index = runs(starts[stacks.frame], sizes[stacks.frame])
    before = np.concatenate(([0], np.cumsum(sizes[stacks.frame])))
    return Stacks(before[stacks.start], flat[index]), list(numbers)


def _threads(contexts: list[ThreadContext]) -> tuple[list[Thread], Ints]:
    numbers: dict[Thread, int] = {}
    of = [numbers.setdefault(Thread(context.pid, context.tid, context.comm), len(numbers)) for context in contexts]
    return list(numbers), np.array(of, np.int64)


def _samples(sums: SampleSums, stack: Ints, thread: Ints) -> Samples:
    """Sums by named stack."""
    if not len(stack):
        return Samples(stack, thread, sums.interval, sums.samples, sums.weight)
    threads, intervals = int(thread.max()) + 1, int(sums.interval.max()) + 1
    key = (stack * threads + thread) * intervals + sums.interval
    order = np.argsort(key)
    key = key[order]
    first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    chosen = key[first]
    count, weight = np.add.reduceat(sums.samples[order], first), np.add.reduceat(sums.weight[order], first)
    return Samples(chosen // intervals // threads, chosen // intervals % threads, chosen % intervals, count, weight)


def _numbered(keys: Ints, limit: int) -> tuple[Ints, Ints]:
    """The different keys in ascending order, and the index of each key among them; keys are below `limit`."""
    if limit > min(_LARGEST_TABLE, _LARGEST_TABLE_BY_KEY * len(keys)):
        return _once(keys)
    flags = np.zeros(limit, bool)
    flags[keys] = True
    present = np.flatnonzero(flags)
    table = np.zeros(limit, np.int32)
    table[present] = np.arange(len(present))
    return present, table[keys].astype(np.int64)


def _once(keys: Ints) -> tuple[Ints, Ints]:
    unique, inverse = np.unique(keys, return_inverse=True)
    return unique, inverse.reshape(-1)
