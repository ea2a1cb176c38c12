"""run.json: what its fields have to be, checked once, when a Run is read; those that may be missing are filled in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netprobe.errors import NetprobeError

_MOST = 60


@dataclass(frozen=True)
class _Field:
    """`path`: keys with dots; a part of something that is not there is not asked for."""

    path: str
    words: str
    fits: Callable[[Any], bool]
    default: Callable[[], Any] | None = None
    """What it is where it is missing; None where it must be there."""
    optional: bool = False
    """Whether it may just be missing."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _is_texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_programs(value: Any) -> bool:
    return _is_objects(value) and all(
        _is_number(one.get("run_cnt", 0)) and (one.get("mean_ns") is None or _is_number(one["mean_ns"]))
        for one in value
    )


def _is_length(value: Any) -> bool:
    return value is None or (_is_number(value) and value > 0)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0


_FIELDS = (
    _Field("tables", "a list of texts", _is_texts),
    _Field("recording", "an object", _is_object),
    _Field("recording.seconds", "a number above 0, or null in an imported Run", _is_length),
    _Field(
        "recording.elapsed_seconds", "a number above 0", lambda value: _is_number(value) and value > 0, optional=True
    ),
    _Field("recording.started", "a text or null", _is_text_or_null, lambda: None),
    _Field("target", "an object", _is_object),
    _Field("target.description", "a text", _is_text),
    _Field("host", "an object", _is_object, dict),
    *(
        _Field(f"host.{name}", "a text or null", _is_text_or_null, lambda: None)
        for name in ("hostname", "kernel", "kernel_version", "architecture", "cpu_model", "cpus_online")
    ),
    _Field("host.boot_parameters", "a text or null", _is_text_or_null, lambda: None),
    _Field("probes", "a list of texts", _is_texts, list),
    _Field("attached", "a list of texts", _is_texts, list),
    _Field("attach_mechanisms", "an object of texts", _is_texts_by_name, dict),
    _Field("unavailable", "a list of texts", _is_texts, list),
    _Field("dropped", "a list of texts", _is_texts, list),
)
_OPTIONAL = {
    "requests": (
        _Field("requests", "an object", _is_object),
        _Field("requests.count", "a number from 0 on", _is_count),
        _Field("requests.source", "a text", _is_text),
    ),
    "imported": (
        _Field("imported", "an object", _is_object),
        _Field("imported.parts", "a list of objects", _is_objects, list),
        _Field("imported.notes", "a list of texts", _is_texts, list),
        _Field("imported.unknown", "a list of texts", _is_texts, list),
        _Field("imported.only_most_frequent", "true or false", lambda value: isinstance(value, bool), lambda: False),
    ),
    "cost": (
        _Field("cost", "an object", _is_object),
        _Field("cost.programs", "a list of objects with run_cnt and mean_ns", _is_programs, list),
    ),
}


def checked(info: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The description, whole. Raises `NetprobeError` that names the file and the field which is not as it should be."""
    whole = dict(info)
    for field in _fields(info):
        *parents, name = field.path.split(".")
        within = whole
        for parent in parents:
            within[parent] = within = dict(within[parent])
        if name not in within and field.optional:
            continue
        if name not in within and field.default is not None:
            within[name] = field.default()
        if name not in within:
            raise NetprobeError(f"{file} is corrupt: it lacks {field.path}, {field.words}.")
        if not field.fits(within[name]):
            raise NetprobeError(f"{file} is corrupt: {field.path} is {_shown(within[name])}, and not {field.words}.")
    if whole["recording"]["seconds"] is None and "imported" not in whole:
        raise NetprobeError(f"{file} is corrupt: recording.seconds is null, and the Run was not imported.")
    return whole


def _fields(info: Mapping[str, Any]) -> Iterator[_Field]:
    yield from _FIELDS
    for name, fields in _OPTIONAL.items():
        if name in info:
            yield from fields


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
