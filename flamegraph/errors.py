"""The one root of the errors that this library raises on purpose."""

from __future__ import annotations


class ProfileError(Exception):
    """What happened and why, and what to do about it, in the user's words."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BrokenProfileError(ProfileError):
    """A file that ends too early or contradicts itself; the text names the byte or line."""
