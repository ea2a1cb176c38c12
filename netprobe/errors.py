"""The one root of all errors that a user can cause or cure."""

from __future__ import annotations


class NetprobeError(Exception):
    """What happened and why, and what to do about it, in the user's words."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Both: what a notebook or another program's traceback shows."""
        return f"{self.message}\nTo do: {self.hint}" if self.hint else self.message


class NotPossibleHereError(NetprobeError):
    """This machine, kernel or privilege does not allow what was asked for."""
