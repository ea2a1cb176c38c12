"""A number of requests on the command line."""

from __future__ import annotations

import math

import click


class RequestCount(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A number of requests above zero; a mean of several recordings need not be a whole one."""

    name = "requests"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuses what is no number, nothing, less than nothing, without end or not a number at all."""
        try:
            requests = float(str(value))
        except ValueError:
            requests = math.nan
        if not (requests > 0 and math.isfinite(requests)):
            self.fail(f"{value!r} is not a number of requests: write a number above 0.", param, ctx)
        return requests
