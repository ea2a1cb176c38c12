"""SIGINT and SIGTERM during changes that must be undone."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], object] | int | None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # the only thread that receives signals


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals: an exception inside `subprocess` can leave its lock held, which would be a deadlock."""
    if not _in_main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        _set_handlers(before)
        for number in received[:1]:
            signal.raise_signal(number)


def _set_handlers(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


class SignalException:
    """Raises an exception for the first SIGINT or SIGTERM while armed, and defers others."""

    def __init__(self) -> None:
        self.armed = False
        self._raised = False
        self._received = 0

    def arm(self) -> None:
        """Raise for a signal from now on, or for one that was received before."""
        self.armed = True
        if self._received:
            self._raise()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals during a block; a signal that has not raised within the block raises after it."""
        if not _in_main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _ENDING}
        try:
            yield
        finally:
            _set_handlers(before)
        if self._received and not self._raised:
            self._raise()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number
        if self.armed and not self._raised:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self._received)
