"""Folded stacks: one line `comm;a;b;c 12` per stack, sorted, as FlameGraph's collapsers write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flamegraph.foldedtext import annotation, escape
from flamegraph.tree import ROOTS, root_name

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.writers import WriteOptions

SUFFIXES = (".folded", ".collapsed", ".txt")


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The lines in UTF-8, sorted by the bytes of the stack; equal stacks are one line."""
    weights: dict[bytes, float] = {}
    for stack, weight in _weighted(profile, options):
        weights[stack] = weights.get(stack, 0) + weight
    return b"".join(b"%s %s\n" % (stack, _number(weights[stack])) for stack in sorted(weights))


def _weighted(profile: Profile, options: WriteOptions) -> list[tuple[bytes, float]]:
    if options.root not in ROOTS:
        raise ValueError(f"root {options.root!r} is not one of {', '.join(ROOTS)}")
    samples, stacks = profile.samples, profile.stacks
    bases = [_base(root_name(thread, options.root) if options.root != "none" else "") for thread in profile.threads]
    names = [
        (escape(frame.name) + annotation(frame, kernel=options.annotate_kernel, jit=options.annotate_jit)).encode(
            "utf-8", "backslashreplace"
        )
        for frame in profile.frames
    ]
    pair, row_pair = np.unique(samples.stack * max(len(profile.threads), 1) + samples.thread, return_inverse=True)
    weight = np.bincount(row_pair, samples.weight, len(pair)).tolist()
    stack, thread = np.divmod(pair, max(len(profile.threads), 1))
    texts = {i: b";".join([names[number] for number in stacks[i].tolist()]) for i in set(stack.tolist())}
    empty = {i for i in texts if not stacks.depth[i]}
    return [
        (bases[t] + (b";" if bases[t] and s not in empty else b"") + texts[s], w)
        for s, t, w in zip(stack.tolist(), thread.tolist(), weight, strict=True)
    ]


def _base(name: str) -> bytes:
    return escape(name).replace(" ", "_").encode("utf-8", "backslashreplace")


def _number(weight: float) -> bytes:
    return (f"{weight:.0f}" if weight.is_integer() else repr(weight)).encode()
