"""SIGINT and SIGTERM while something is up that must come down again."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], object] | int | None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # the only one that gets signals


@contextmanager
def held() -> Iterator[None]:
    """Let signals wait: an exception raised inside `subprocess` can leave its lock taken, and us waiting."""
    if not _in_main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        _set_handlers(before)
        for number in came[:1]:
            signal.raise_signal(number)


def _set_handlers(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Ending:
    """Turns the first SIGINT or SIGTERM into an exception while armed, and keeps the others for the end."""

    def __init__(self) -> None:
        self.armed = False
        self._raised = False
        self._came = 0

    def arm(self) -> None:
        """Let a signal raise from now on, and raise for one that has come already."""
        self.armed = True
        if self._came:
            self._raise()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Take the signals over for a block; one that has not raised within it raises after it."""
        if not _in_main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _ENDING}
        try:
            yield
        finally:
            _set_handlers(before)
        if self._came and not self._raised:
            self._raise()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came = self._came or number
        if self.armed and not self._raised:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        if self._came == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self._came)
