"""Stops a recording early on SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible:
    """While entered, the signals set `interrupted` instead of ending the program."""

    def __init__(self, forward: Callable[[int], None] | None = None) -> None:
        """`forward` is called with each signal that is received."""
        self.interrupted: signal.Signals | None = None
        self._forward = forward

    def __enter__(self) -> Interruptible:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.interrupted = signal.Signals(number)
        os.write(self._write, b"!")
        if self._forward:
            self._forward(number)

    def wait(self, seconds: float, others: Iterable[int] = ()) -> list[int]:
        """Sleep until the time is over, a signal is received or a descriptor is readable; return those descriptors."""
        if self.interrupted:
            return []
        poll = select.poll()
        for fd in (self._read, *others):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(max(0, seconds) * 1000)]
        return [fd for fd in ready if fd != self._read]
