"""The stored form of a program: descriptors of maps are taken out, and put in again for another process."""

import json
import struct

import pytest

from netprobe.engine.bpf import MapDefinition
from netprobe.engine.stored_program import Function, StoredProgram
from netprobe.errors import NetprobeError

EXIT = struct.pack("=BBhi", 0x95, 0, 0, 0)


def load_imm64(pseudo: int, value: int) -> bytes:
    return struct.pack("=BBhi", 0x18, pseudo << 4 | 1, 0, value) + struct.pack("=BBhi", 0, 0, 0, 0)


def call(pseudo: int, helper: int = 1) -> bytes:
    return struct.pack("=BBhi", 0x85, pseudo << 4, 0, helper)


# A constant; two maps; then the value 0x18 in the second half of a constant, which is no instruction.
CODE = load_imm64(0, 7) + load_imm64(1, 5) + call(0) + load_imm64(1, 6) + load_imm64(0, 0x1118) + EXIT


def test_descriptors_are_replaced():
    function = Function.of("on_event", CODE, {5: "threads", 6: "slot_of"})
    assert function.references == ((2, "threads"), (5, "slot_of"))
    assert len(function.code) == len(CODE)
    assert bytes(function.for_maps({"threads": 5, "slot_of": 6})) == CODE
    moved = function.for_maps({"threads": 1005, "slot_of": 1006})
    assert struct.unpack_from("=i", moved, 2 * 8 + 4) == (1005,)
    assert struct.unpack_from("=i", moved, 5 * 8 + 4) == (1006,)
    # The stored form has no trace of a descriptor.
    assert function.code == Function.of("on_event", bytes(moved), {1005: "threads", 1006: "slot_of"}).code


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (load_imm64(2, 5), 2),  # the value of a map
        (load_imm64(3, 5), 3),  # a BTF id
        (load_imm64(4, 5), 4),  # the address of a function
        (load_imm64(1, 99), 1),  # a map that is not of this program
        (call(1), 1),  # another function
        (call(2), 2),  # a function of the kernel
    ],
)
def test_references_of_other_kinds_are_refused(code, kind):
    with pytest.raises(NetprobeError, match=rf"on_event has a reference .*kind {kind}"):
        Function.of("on_event", code + EXIT, {5: "threads"})


def stored() -> StoredProgram:
    return StoredProgram(
        {"threads": MapDefinition(2, 4, 72, 1024, 1024)},
        {"on_event": Function.of("on_event", CODE, {5: "threads", 6: "threads"})},
        (("/usr/lib/libbcc.so.0", 123, 456),),
    )


def test_json_and_back():
    assert StoredProgram.from_json(json.loads(json.dumps(stored().as_json()))) == stored()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: None,
        lambda document: [],
        lambda document: document | {"maps": {"threads": [1, 2]}},
        lambda document: document | {"maps": {"threads": [2, 4, 72, 1 << 32, 0]}},
        lambda document: document | {"maps": {"others": [2, 4, 72, 1024, 0]}},
        lambda document: document | {"functions": {"on_event": ["95" * 8, [[1, "threads"]]]}},
        lambda document: document | {"functions": {"on_event": ["95" * 8, [[-1, "threads"]]]}},
        lambda document: document | {"functions": {"on_event": ["xy", []]}},
        lambda document: document | {"functions": {"on_event": ["95"]}},
        lambda document: {name: value for name, value in document.items() if name != "compiler"},
    ],
)
def test_other_documents_are_refused(change):
    with pytest.raises((ValueError, TypeError, KeyError)):
        StoredProgram.from_json(change(stored().as_json()))
