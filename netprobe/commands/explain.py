"""`netprobe explain`: the documentation of a finding."""

from __future__ import annotations

from difflib import get_close_matches

import click

from netprobe.errors import NetprobeError


@click.command(short_help="Print the documentation of a finding.")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Print the documentation of a finding: detection, why it matters, fix, and source.

    Without CODE, list all codes with their titles.

    \b
    netprobe explain
    netprobe explain reuseport-order
    """
    from netprobe.render.explain import catalogue, show_document
    from netprobe.render.text import show
    from netprobe.rules.registry import all_rules

    rules = {rule.CODE: rule for rule in all_rules()}
    if code is None:
        show(catalogue(rules.values()))
    elif code in rules:
        show_document(rules[code])
    else:
        raise _unknown_code(code, list(rules))


def _unknown_code(code: str, codes: list[str]) -> NetprobeError:
    similar = get_close_matches(code.lower().replace("_", "-"), codes, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(similar)}?" if similar else "List all codes with: netprobe explain"
    return NetprobeError(f"There is no finding {code!r}.", hint=hint)
