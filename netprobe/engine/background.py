"""One piece of work in the background, for calls into C that let Python go on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Background(Generic[_T]):
    """Runs a function in a thread at once; `result` waits for it and gives what it returned, or raised."""

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
        """Wait; may be called again."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value[0]
