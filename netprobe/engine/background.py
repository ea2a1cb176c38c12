"""A call in a background thread, for C functions that release the interpreter lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Background(Generic[_T]):
    """Starts a function in a thread; `result` waits for it and returns its result, or raises its exception."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._value: list[_T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:
            self._error = error

    def result(self) -> _T:
        """Wait for the result; may be called again."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]
