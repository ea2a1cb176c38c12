"""Errors that this library raises for invalid input and wrong use."""

from __future__ import annotations


class ProfileError(Exception):
    """`message`: what happened and why; `hint`: what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BrokenProfileError(ProfileError):
    """A truncated or corrupt file; the message gives the byte or line."""
