"""What weights of two profiles are divided by before they are compared; always named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flamegraph.amounts import amount
from flamegraph.errors import ProfileError

if TYPE_CHECKING:
    from flamegraph.profile import Profile

KINDS = ("share", "second", "request")


@dataclass(frozen=True)
class Denominator:
    """`a`, `b`: what each side's weights are divided by; `unit`: of the result; `text`: the sentence for a page."""

    per: str
    a: float
    b: float
    unit: str
    text: str


def denominator_for(
    before: Profile, after: Profile, per: str, requests_a: float | None = None, requests_b: float | None = None
) -> Denominator:
    """The denominator of this name; raises `ProfileError` where its numbers are missing."""
    unit = after.info.unit
    if per == "share":
        first, second = amount(before.total, before.info.unit), amount(after.total, unit)
        text = f"Share of all weight: {first.removesuffix(f' {unit}')} and {second}."
        return Denominator(per, before.total / 100, after.total / 100, "%", text)
    if before.info.unit != unit:
        raise ProfileError(
            f"Weights in {before.info.unit} and in {unit} cannot be compared per {per}.", hint="Compare by share."
        )
    if per == "second":
        return _per_second(before, after, unit)
    if per == "request":
        return _per_request(unit, requests_a, requests_b)
    raise ProfileError(f"There is no denominator {per!r}.", hint=f"Use one of {', '.join(KINDS)}.")


def _per_second(before: Profile, after: Profile, unit: str) -> Denominator:
    a, b = before.info.seconds, after.info.seconds
    if not (a > 0 and b > 0):
        raise ProfileError(
            "The length of one recording is not known, so nothing can be given per second.", hint="Compare by share."
        )
    return Denominator("second", a, b, f"{unit}/s", f"Per second of recording: {a:.4g} s and {b:.4g} s.")


def _per_request(unit: str, a: float | None, b: float | None) -> Denominator:
    if not (a and b and a > 0 and b > 0):
        raise ProfileError(
            "How many requests were served is not known for both sides.",
            hint="Give the requests of both sides, or compare by share.",
        )
    # A sample is much more than a request takes: per thousand gives numbers that can be read.
    return Denominator(
        "request", a / 1000, b / 1000, f"{unit}/1000 requests", f"Per 1,000 requests: {a:,.0f} and {b:,.0f} requests."
    )
