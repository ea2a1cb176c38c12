"""Damage in a recording: what is said, and whether reading goes on."""

from __future__ import annotations

from flamegraph.errors import BrokenProfileError

SALVAGE = "Record again, or read what stands before this place with --salvage."


class Damage(Exception):  # noqa: N818 - not an error where it is salvaged
    """The recording makes no sense from a byte on."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset, self.message = offset, what

    def error(self, name: str) -> BrokenProfileError:
        """For the user, where nothing is to be salvaged."""
        return BrokenProfileError(f"{name} is corrupt at byte {self.offset}: {self.message}.", hint=SALVAGE)

    def note(self) -> str:
        """For the user, where what came before is shown."""
        return f"The recording is corrupt at byte {self.offset} ({self.message}): what comes after it is missing here."
