"""speedscope's JSON, checked by the rules of its schema (file-format-spec.ts of speedscope 1.x)."""

import json

import jsonschema
import pytest

from flamegraph.builder import Builder
from flamegraph.flame_graph import FlameGraph
from flamegraph.frames import Frame, Kind, Thread
from flamegraph.profile import Info
from flamegraph.writers import WriteOptions
from flamegraph.writers.speedscope import render

UNITS = ["none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"]
SCHEMA = {
    "type": "object",
    "required": ["$schema", "profiles", "shared"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://www.speedscope.app/file-format-schema.json"},
        "activeProfileIndex": {"type": "number"},
        "exporter": {"type": "string"},
        "name": {"type": "string"},
        "shared": {
            "type": "object",
            "required": ["frames"],
            "additionalProperties": False,
            "properties": {
                "frames": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "file": {"type": "string"},
                            "line": {"type": "number"},
                            "col": {"type": "number"},
                        },
                    },
                }
            },
        },
        "profiles": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "name", "unit", "startValue", "endValue", "samples", "weights"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "sampled"},
                    "name": {"type": "string"},
                    "unit": {"enum": UNITS},
                    "startValue": {"type": "number"},
                    "endValue": {"type": "number"},
                    "samples": {
                        "type": "array",
                        "items": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    },
                    "weights": {"type": "array", "items": {"type": "number", "minimum": 0}},
                },
            },
        },
    },
}


def document(profile, **options):
    found = json.loads(render(profile, WriteOptions(**options)))
    jsonschema.validate(found, SCHEMA)
    frames = len(found["shared"]["frames"])
    for one in found["profiles"]:
        assert len(one["samples"]) == len(one["weights"])
        assert one["endValue"] - one["startValue"] == pytest.approx(sum(one["weights"]))
        assert all(number < frames for stack in one["samples"] for number in stack)
    return found


def example(unit="ns"):
    builder = Builder()
    a, b, k = (builder.frame(frame) for frame in (Frame("a", "/x"), Frame("b"), Frame("k", "[kernel]", Kind.KERNEL)))
    small, large = builder.thread(Thread(1, 2, "small")), builder.thread(Thread(1, 3, "large"))
    builder.add(builder.stack([a, b]), small, 1, weight=3)
    builder.add(builder.stack([a]), small, 0, weight=1.5)
    builder.add(builder.stack([a, k]), large, 0, weight=40)
    return builder.profile(Info(event="cpu-clock", unit=unit, title="T"))


def test_document():
    found = document(example())
    assert found["shared"]["frames"] == [
        {"name": "a", "file": "/x"},
        {"name": "b"},
        {"name": "k", "file": "[kernel]"},
    ]
    assert [(one["name"], one["unit"], one["samples"], one["weights"]) for one in found["profiles"]] == [
        ("large", "nanoseconds", [[0, 2]], [40]),
        ("small", "nanoseconds", [[0], [0, 1]], [1.5, 3]),
    ]
    assert found["name"] == "T"


@pytest.mark.parametrize(
    ("root", "names"), [("none", ["all threads"]), ("pid", ["large-1", "small-1"]), ("tid", ["large-1/3", "small-1/2"])]
)
def test_roots(root, names):
    assert [one["name"] for one in document(example(), root=root)["profiles"]] == names


@pytest.mark.parametrize(("unit", "shown"), [("samples", "none"), ("cycles", "none"), ("bytes", "bytes")])
def test_units(unit, shown):
    assert {one["unit"] for one in document(example(unit))["profiles"]} == {shown}


def test_nothing():
    assert document(example().filter(thread="nobody"))["profiles"][0]["endValue"] == 0


@pytest.mark.parametrize("name", ["</script>", '"\\', "\x00\x1b\n", "\u202e\u2028", "\ud800", "ä\U0001f525"])
def test_names(name):
    builder = Builder()
    builder.add(builder.stack([builder.frame(Frame(name, name))]), builder.thread(Thread(1, 1, name)))
    found = document(builder.profile(Info(title=name)))
    expected = name.encode("utf-8", "backslashreplace").decode()
    assert found["shared"]["frames"] == [{"name": expected, "file": expected}]
    assert found["profiles"][0]["name"] == found["name"] == expected


def test_file(tmp_path):
    FlameGraph.of(example()).write(tmp_path / "x.speedscope.json")
    assert json.loads((tmp_path / "x.speedscope.json").read_text())["profiles"]
