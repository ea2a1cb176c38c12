"""speedscope's JSON (github.com/jlfwong/speedscope, file-format-spec): shared frames, a sampled profile a thread."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.tree import root_name

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.writers.options import WriteOptions

SUFFIXES = (".speedscope.json",)

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds", "bytes": "bytes"}


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The document, UTF-8. Weights run in the order of time intervals, heaviest threads first."""
    document = {
        "$schema": _SCHEMA,
        "exporter": "netprobe flamegraph",
        "name": _clean(options.title or profile.info.title or profile.info.event or "profile"),
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(frame.name, frame.module) for frame in profile.frames]},
        "profiles": _profiles(profile, options.root),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _frame(name: str, module: str) -> dict[str, str]:
    return {"name": _clean(name), "file": _clean(module)} if module else {"name": _clean(name)}


def _profiles(profile: Profile, root: str) -> list[dict[str, Any]]:
    """One for each name that stands at the base: threads of one name are one."""
    names = [root_name(thread, root) if root != "none" else "" for thread in profile.threads]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    whose = np.array([numbers[name] for name in names], np.int64)[profile.samples.thread]
    weight = np.bincount(whose, profile.samples.weight, len(numbers))
    order = np.argsort(-weight, kind="stable").tolist()
    by_number = list(numbers)
    found = [_sampled(profile, by_number[number], np.flatnonzero(whose == number)) for number in order]
    return found or [_sampled(profile, "", np.zeros(0, np.int64))]


def _sampled(profile: Profile, name: str, rows: Any) -> dict[str, Any]:
    samples = profile.samples
    rows = rows[np.argsort(samples.interval[rows], kind="stable")]
    weights = [int(weight) if weight.is_integer() else weight for weight in samples.weight[rows].tolist()]
    return {
        "type": "sampled",
        "name": _clean(name) or "all threads",
        "unit": _UNITS.get(profile.info.unit, "none"),
        "startValue": 0,
        "endValue": sum(weights),
        "samples": [profile.stacks[number].tolist() for number in samples.stack[rows].tolist()],
        "weights": weights,
    }


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
