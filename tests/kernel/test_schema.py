"""Output of --json is valid against the schemas."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

SCHEMAS = Path(__file__).parent.parent.parent / "netprobe" / "render" / "schema"


def validate(command: str, document: dict[str, Any]) -> None:
    contents = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in contents
    )
    schema = json.loads((SCHEMAS / f"{command}.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)


@pytest.mark.parametrize("by", ["syscall", "thread", "process"])
@pytest.mark.parametrize("options", [[], ["-x"], ["-e", "ENOENT"], ["-L"], ["-L", "-x"]])
def test_syscalls(record_workload, by, options):
    document = record_workload("counted", [], "syscalls", "--json", "--by", by, *options).json()
    assert document["syscalls"]
    validate("syscalls", document)


def test_timeouts(record_workload):
    document = record_workload("waits", [], "syscalls", "--json").json()
    assert [row for row in document["syscalls"] if "timeouts" in row]
    validate("syscalls", document)


@pytest.mark.parametrize("options", [[], ["-L"], ["--no-fold"]])
def test_switches(record_workload, options):
    document = record_workload("pingpong", [101], "switches", "--json", *options).json()
    assert document["threads"]
    assert document["machine"]
    validate("switches", document)


def test_whole_machine_and_started_server(netprobe):
    validate("syscalls", netprobe("syscalls", "-d", "0.3", "--json").json())
    validate("switches", netprobe("switches", "-d", "0.3", "--json").json())
    validate("syscalls", netprobe("syscalls", "--json", "--", "false").json())
    validate("switches", netprobe("switches", "-d", "0.3", "--json", "--", "sleep", "9").json())


@pytest.mark.parametrize("command", ["syscalls", "switches"])
def test_an_invalid_document_is_refused(netprobe, command):
    document = netprobe(command, "-d", "0.2", "--json").json()
    for change in ({"surprise": 1}, {"command": "other"}, {"recording": {}}, {"schema_version": 1}):
        with pytest.raises(jsonschema.ValidationError):
            validate(command, document | change)
