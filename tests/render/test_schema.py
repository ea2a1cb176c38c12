"""The schemas themselves: valid, described, and closed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import netprobe.render

FOLDER = Path(netprobe.render.__file__).parent / "schema"
FILES = sorted(FOLDER.glob("*.json"))


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every subschema that describes a value, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        if inner is not False:
            yield from objects(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from objects(schema["items"], f"{path}[]")


def test_every_command_has_one():
    assert {"envelope", "syscalls", "switches"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_valid_described_and_closed(path):
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for place, inner in objects(schema):
        assert inner.get("description"), f"{path.name}{place} has no description"
        if inner.get("type") == "object" and place:
            assert "additionalProperties" in inner, f"{path.name}{place} allows any property"
    # Parts of others cannot be closed by themselves.
    assert path.stem in ("envelope", "findings") or schema["unevaluatedProperties"] is False
