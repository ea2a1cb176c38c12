"""The one root of the errors that this library raises on purpose."""

from __future__ import annotations


class ProfileError(Exception):
    """What happened and why, and what to do about it, in the user's words."""

    def __init__(self, what: str, *, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo


class BrokenProfileError(ProfileError):
    """A file that ends too early or contradicts itself; the text names the byte or line."""
