"""Types of command-line parameters."""

from __future__ import annotations

import math

import click


class _PositiveNumber(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A finite number above zero."""

    name = "number"
    quantity = "a number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses text, zero, negative numbers, infinity and NaN."""
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not (number > 0 and math.isfinite(number)):
            self.fail(f"{value!r} is not {self.quantity}: write a number above 0.", param, ctx)
        return number


class Seconds(_PositiveNumber):
    """A length of time in seconds."""

    name = "seconds"
    quantity = "a number of seconds"


class RequestCount(_PositiveNumber):
    """A number of requests; the mean of several recordings may have a fraction."""

    name = "requests"
    quantity = "a number of requests"
