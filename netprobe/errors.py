"""The base class of all errors that are shown to a user."""

from __future__ import annotations


class NetprobeError(Exception):
    """`message`: what failed and why. `hint`: how to solve it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Message and hint, as shown in notebooks and tracebacks."""
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class NotPossibleHereError(NetprobeError):
    """This machine, kernel or privilege does not allow the requested recording."""
