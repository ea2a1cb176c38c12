"""Weights: formatted for people, and normalized before two profiles are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flamegraph.errors import ProfileError

if TYPE_CHECKING:
    from flamegraph.profile import Profile

_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def format_weight(weight: float, unit: str) -> str:
    """`3.071 s` for nanoseconds, a number with its unit for other units: `1,234 cycles`."""
    if unit == "ns":
        for size, name in _TIME_UNITS:
            if weight >= size:
                return f"{weight / size:,.4g} {name}" if weight < 1000 * size else f"{weight / size:,.0f} {name}"
    return f"{weight:,.0f} {unit}"


KINDS = ("share", "second", "request")


@dataclass(frozen=True)
class Normalization:
    """Divisors of the weights of both sides (`a`, `b`), the unit of the result, and a sentence that names both."""

    per: str
    a: float
    b: float
    unit: str
    text: str


def normalization(
    before: Profile, after: Profile, per: str, requests_a: float | None = None, requests_b: float | None = None
) -> Normalization:
    """The normalization of this kind. Raises `ProfileError` where its numbers are missing."""
    unit = after.info.unit
    if per == "share":
        first, second = format_weight(before.total, before.info.unit), format_weight(after.total, unit)
        text = f"Share of the total: {first.removesuffix(f' {unit}')} and {second}."
        return Normalization(per, before.total / 100, after.total / 100, "%", text)
    if before.info.unit != unit:
        raise ProfileError(
            f"Weights in {before.info.unit} and in {unit} cannot be compared per {per}.", hint="Compare by share."
        )
    if per == "second":
        return _per_second(before, after, unit)
    if per == "request":
        return _per_request(unit, requests_a, requests_b)
    raise ProfileError(f"Unknown normalization {per!r}.", hint=f"Use one of {', '.join(KINDS)}.")


def _per_second(before: Profile, after: Profile, unit: str) -> Normalization:
    a, b = before.info.seconds, after.info.seconds
    if not (a > 0 and b > 0):
        raise ProfileError(
            "The length of one recording is unknown, so weights per second cannot be computed.",
            hint="Compare by share.",
        )
    return Normalization("second", a, b, f"{unit}/s", f"Per second of recording: {a:.4g} s and {b:.4g} s.")


def _per_request(unit: str, a: float | None, b: float | None) -> Normalization:
    if not (a and b and a > 0 and b > 0):
        raise ProfileError(
            "The number of requests is not known for both sides.",
            hint="Specify the requests of both sides, or compare by share.",
        )
    # A request takes much less than one sample: numbers per thousand requests are legible.
    return Normalization(
        "request", a / 1000, b / 1000, f"{unit}/1000 requests", f"Per 1,000 requests: {a:,.0f} and {b:,.0f} requests."
    )
