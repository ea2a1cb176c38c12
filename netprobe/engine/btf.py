"""Struct offsets of the running kernel, from its own BTF or as remembered from an earlier start.

Source: Documentation/bpf/btf.rst in the kernel tree.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from netprobe.errors import NotPossibleHereError

PATH = "/sys/kernel/btf/vmlinux"
_STRUCT, _UNION, _TYPEDEF, _FUNCTION = 4, 5, 8, 12
# Kinds that only add a name or a qualifier to another type: const, volatile, restrict, typedef, type tag.
_WRAPPERS = {_TYPEDEF, 9, 10, 11, 18}


class _Type(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size_or_type", ctypes.c_uint32))


class _Member(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class UnansweredError(Exception):
    """A question about the kernel's types was not asked before."""


class KernelTypes:
    """Sizes, offsets and ids of the kernel's types. Subclasses know the answers."""

    def _ask(self, question: str, name: str, path: str = "") -> int | None:
        """The answer to "offset", "size", "tracepoint arguments", "tracepoint" or "function"; None: no such thing."""
        raise NotImplementedError

    def has_struct(self, name: str) -> bool:
        """Whether the kernel knows a struct of this name."""
        return self._ask("size", name) is not None

    def offset(self, struct: str, path: str) -> int:
        """Byte offset of a field such as `thread_info.status`, through anonymous structs and unions.

        Raises `NotPossibleHereError` if the running kernel has no such field.
        """
        found = self._ask("offset", struct, path)
        if found is None:
            raise NotPossibleHereError(
                f"This kernel's struct {struct} has no field {path}: it is of a version that netprobe does "
                "not know yet.",
                hint="Please report it with the output of `uname -r`.",
            )
        return found

    def has_field(self, struct: str, path: str) -> bool:
        """Whether the running kernel has the field."""
        return self._ask("offset", struct, path) is not None

    def size(self, struct: str) -> int:
        """Size of a struct in bytes."""
        found = self._ask("size", struct)
        if found is None:
            raise NotPossibleHereError(f"This kernel has no struct {struct}.")
        return found

    def raw_tracepoint_arguments(self, name: str) -> int | None:
        """How many arguments a raw tracepoint passes; None if the kernel has no such tracepoint."""
        return self._ask("tracepoint arguments", name)

    def raw_tracepoint_id(self, name: str) -> int:
        """BTF id by which a typed program attaches; raises `NotPossibleHereError` if there is no such tracepoint."""
        found = self._ask("tracepoint", name)
        if found is None:
            raise NotPossibleHereError(f"This kernel has no tracepoint {name}.")
        return found

    def has_function(self, name: str) -> bool:
        """Whether the running kernel has the function."""
        return self._ask("function", name) is not None

    def function_id(self, name: str) -> int:
        """BTF id by which a program attaches to a kernel function."""
        found = self._ask("function", name)
        if found is None:
            raise NotPossibleHereError(f"This kernel has no function {name}.")
        return found

    @property
    def switch_state(self) -> str:
        """C expression in a sched_switch program: the state in which the thread leaves its CPU.

        A separate argument since 5.18 (kernel commit fa2c3254d7cf), the task's field before.
        """
        if (self.raw_tracepoint_arguments("sched_switch") or 0) >= 4:
            return "((u32)ctx->args[3])"
        field = "__state" if self.has_field("task_struct", "__state") else "state"
        return f"(*(u32 *)(previous + {self.offset('task_struct', field)}))"


class RememberedTypes(KernelTypes):
    """Answers of an earlier start: BTF is not read, which takes 40 ms and 20 MB."""

    def __init__(self, answers: Mapping[str, int | None]) -> None:
        self._answers = answers

    def _ask(self, question: str, name: str, path: str = "") -> int | None:
        """Raises `UnansweredError`."""
        try:
            return self._answers[_key(question, name, path)]
        except KeyError:
            raise UnansweredError(_key(question, name, path)) from None


def _key(question: str, name: str, path: str) -> str:
    return f"{question} {name} {path}".rstrip()


def require_btf(path: str = PATH) -> None:
    """Raise `NotPossibleHereError` if this kernel has no BTF."""
    if not os.path.exists(path):
        raise NotPossibleHereError(
            f"This kernel has no BTF type information ({path} is missing), so netprobe cannot know how its "
            "structures are laid out.",
            hint="Use a kernel built with CONFIG_DEBUG_INFO_BTF=y: those of Debian 12, Ubuntu 22.04, "
            "Fedora 34, RHEL 9 and newer have it.",
        )


def _load_libbpf() -> ctypes.CDLL:
    """The libbpf that BCC depends on."""
    for name in ("libbpf.so.1", "libbpf.so.0"):
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
    raise NotPossibleHereError(
        "libbpf, which BCC depends on, cannot be loaded.", hint="Install it: libbpf1 (Debian) or libbpf."
    )


class Btf(KernelTypes):
    """Reads the kernel's BTF. `answers` has all answers that were given."""

    def __init__(self, path: str = PATH) -> None:
        require_btf(path)
        self.answers: dict[str, int | None] = {}
        self._lib = lib = _load_libbpf()
        lib.btf__parse.restype = ctypes.c_void_p
        lib.btf__parse.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        lib.btf__type_by_id.restype = ctypes.c_void_p
        lib.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.btf__name_by_offset.restype = ctypes.c_char_p
        lib.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
        lib.btf__free.argtypes = [ctypes.c_void_p]
        lib.libbpf_get_error.argtypes = [ctypes.c_void_p]
        lib.libbpf_get_error.restype = ctypes.c_long
        self._btf = lib.btf__parse(path.encode(), None)
        if not self._btf or lib.libbpf_get_error(self._btf):
            self._btf = None
            raise NotPossibleHereError(f"{path} holds no BTF that this libbpf can read.", hint="Update libbpf.")

    def close(self) -> None:
        """Free its memory (about 10 MB)."""
        if self._btf:
            self._lib.btf__free(self._btf)
            self._btf = None

    def _ask(self, question: str, name: str, path: str = "") -> int | None:
        key = _key(question, name, path)
        if key not in self.answers:
            self.answers[key] = self._answer(question, name, path)
        return self.answers[key]

    def _answer(self, question: str, name: str, path: str) -> int | None:
        if question == "offset":
            return self._offset(name, path)
        if question == "size":
            type_id = self._find(name, _STRUCT)
            return None if type_id is None else int(self._type(type_id).size_or_type)
        if question == "tracepoint arguments":
            return self._tracepoint_arguments(name)
        if question == "tracepoint":
            return self._find(f"btf_trace_{name}", _TYPEDEF)
        return self._find(name, _FUNCTION)

    def _offset(self, struct: str, path: str) -> int | None:
        type_id = self._find(struct, _STRUCT)
        total = 0
        for field in path.split("."):
            found = self._member(type_id, field) if type_id is not None else None
            if found is None:
                return None
            total += found[0]
            type_id = self._unwrap(found[1])
        return total

    def _tracepoint_arguments(self, name: str) -> int | None:
        typedef = self._find(f"btf_trace_{name}", _TYPEDEF)
        if typedef is None:
            return None
        pointer = self._type(typedef).size_or_type
        prototype = self._type(self._type(pointer).size_or_type)
        # The first parameter is the tracepoint's private data.
        return int(prototype.info & 0xFFFF) - 1

    def _find(self, name: str, kind: int) -> int | None:
        type_id = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
        return type_id if type_id > 0 else None

    def _type(self, type_id: int) -> _Type:
        return _Type.from_address(self._lib.btf__type_by_id(self._btf, type_id))

    def _unwrap(self, type_id: int) -> int:
        while (self._type(type_id).info >> 24) & 0x1F in _WRAPPERS:
            type_id = self._type(type_id).size_or_type
        return type_id

    def _member(self, type_id: int, field: str) -> tuple[int, int] | None:
        """(byte offset, type id) of a member."""
        kind_and_count = self._type(type_id).info
        if (kind_and_count >> 24) & 0x1F not in (_STRUCT, _UNION):
            return None
        first = self._lib.btf__type_by_id(self._btf, type_id) + ctypes.sizeof(_Type)
        for index in range(kind_and_count & 0xFFFF):
            member = _Member.from_address(first + index * ctypes.sizeof(_Member))
            bits = member.offset & 0xFFFFFF if kind_and_count >> 31 else member.offset
            name = self._lib.btf__name_by_offset(self._btf, member.name).decode()
            if name == field:
                return bits // 8, member.type
            inner = None if name else self._member(self._unwrap(member.type), field)
            if inner is not None:
                return bits // 8 + inner[0], inner[1]
        return None
