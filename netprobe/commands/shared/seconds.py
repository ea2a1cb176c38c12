"""A length of time on the command line."""

from __future__ import annotations

import math

import click


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A number of seconds above zero."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses what is no number, nothing, less than nothing, without end or not a number at all."""
        try:
            seconds = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        if not (seconds > 0 and math.isfinite(seconds)):
            self.fail(f"{value!r} is not a length of time: write a number of seconds above 0.", param, ctx)
        return seconds
