"""speedscope's JSON (github.com/jlfwong/speedscope): shared frames, one sampled profile per thread."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from flamegraph.tree import root_name

if TYPE_CHECKING:
    from flamegraph.profile import Profile
    from flamegraph.writers import WriteOptions

SUFFIXES = (".speedscope.json",)

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds", "bytes": "bytes"}


def render(profile: Profile, options: WriteOptions) -> bytes:
    """The document in UTF-8. Samples are in the order of time intervals; threads by descending weight."""
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
    """One profile per base frame: threads of one name are merged."""
    names = [root_name(thread, root) if root != "none" else "" for thread in profile.threads]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    owner = np.array([numbers[name] for name in names], np.int64)[profile.samples.thread]
    weight = np.bincount(owner, profile.samples.weight, len(numbers))
    order = np.argsort(-weight, kind="stable").tolist()
    by_number = list(numbers)
    found = [_sampled(profile, by_number[number], np.flatnonzero(owner == number)) for number in order]
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
    """Escape lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode()
