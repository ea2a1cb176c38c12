"""What is mapped where in one address space."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import count
from typing import Generic, Protocol, TypeVar


class Span(Protocol):
    """Something that takes up addresses."""

    @property
    def start(self) -> int:
        """First address."""

    @property
    def end(self) -> int:
        """First address behind it."""


S = TypeVar("S", bound=Span)
_numbers = count()


class Layout(Generic[S]):
    """Spans without overlap, in order, with what each is cut to.

    New spans go in as they come as long as they cover nothing: no earlier sample can have been there. One that
    covers something makes a new layout, so that earlier samples keep the old one.
    """

    def __init__(self, starts: list[int] | None = None, ends: list[int] | None = None, spans: list[S] | None = None):
        self.number = next(_numbers)
        self.starts, self.ends, self.spans = starts or [], ends or [], spans or []
        self.kept = False
        """Somebody relies on it as it is: nothing may be covered any more, or nothing change if it is shared."""
        self._shared = False

    def shared(self) -> Layout[S]:
        """The same for a second owner; from now on nothing goes into it."""
        self._shared = True
        return self

    def with_span(self, span: S, keep: bool = True) -> Layout[S]:
        """The layout after this came in: this one if it could take it, or if nobody has to `keep` what was."""
        first = bisect_right(self.ends, span.start)
        last = bisect_left(self.starts, span.end)
        if first < last and self._repeats(first, last, span):
            return self
        in_place = not self._shared and (first >= last or not (keep or self.kept))
        layout = self if in_place else Layout(self.starts.copy(), self.ends.copy(), self.spans.copy())
        layout._replace(first, last, span)
        return layout

    def _repeats(self, first: int, last: int, span: S) -> bool:
        """Already there: perf finds maps in /proc that the kernel reports as well."""
        return last - first == 1 and self.spans[first] == span and self.starts[first] == span.start

    def _replace(self, first: int, last: int, span: S) -> None:
        starts, ends, spans = [span.start], [span.end], [span]
        if first < last and self.starts[first] < span.start:
            starts.insert(0, self.starts[first])
            ends.insert(0, span.start)
            spans.insert(0, self.spans[first])
        if first < last and self.ends[last - 1] > span.end:
            starts.append(span.end)
            ends.append(self.ends[last - 1])
            spans.append(self.spans[last - 1])
        self.starts[first:last], self.ends[first:last], self.spans[first:last] = starts, ends, spans
