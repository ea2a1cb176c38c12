"""The one root of all errors that a user can cause or cure."""

from __future__ import annotations


class NetprobeError(Exception):
    """What happened and why, and what to do about it, in the user's words."""

    def __init__(self, what: str, *, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        """Both: what a notebook or another program's traceback shows."""
        return f"{self.what}\nTo do: {self.todo}" if self.todo else self.what


class NotPossibleHereError(NetprobeError):
    """This machine, kernel or privilege does not allow what was asked for."""
