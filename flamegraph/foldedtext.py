"""Names in folded text: escapes of `;`, line ends and control characters; annotations of kernel and JIT."""

from __future__ import annotations

import re

from flamegraph.frames import Frame, Kind

# A backslash is written as \x5c only where it would be read as one of these escapes, so that regular expressions in
# names of node.js stay as FlameGraph writes them.
_ESCAPE = re.compile(r"\\(?:x(?:[01][0-9a-f]|7f|[89][0-9a-f]|5c)|u202[89])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\\(?=x(?:[01][0-9a-f]|7f|[89][0-9a-f]|5c)|u202[89])")
_SUFFIX = {"_[k]": Kind.KERNEL, "_[j]": Kind.JIT, "_[i]": Kind.INLINED}
_ANNOTATION = {kind: suffix for suffix, kind in _SUFFIX.items()}
_JIT_MODULE = re.compile(r"/perf-\d+\.map$|/jitted-\d+-\d+\.so$|^\[JIT\]")
_KERNEL_MODULE = re.compile(r"^\[(?!unknown)|vmlinux$")


def escape(name: str) -> str:
    """A name as one element of a folded line: `;` becomes `:` as in FlameGraph, control characters become `\\x1b`."""
    return _UNPRINTABLE.sub(_escaped, name.replace(";", ":"))


def unescape(text: str) -> str:
    """The inverse of `escape`, except for `;`."""
    return _ESCAPE.sub(lambda found: chr(int(found[0][2:], 16)), text) if "\\" in text else text


def annotation(frame: Frame, *, kernel: bool, jit: bool) -> str:
    """`_[k]`, `_[j]`, `_[i]` or "", by the kind or else by the module.

    As in FlameGraph, any module in brackets (even the vdso) counts as kernel.
    """
    kind = frame.kind
    if kind in (Kind.USER, Kind.UNKNOWN) and frame.module:
        if _JIT_MODULE.search(frame.module):
            kind = Kind.JIT
        elif _KERNEL_MODULE.search(frame.module):
            kind = Kind.KERNEL
    wanted = kernel if kind is Kind.KERNEL else jit
    return _ANNOTATION.get(kind, "") if wanted else ""


def parse_name(text: str) -> Frame:
    """An element of a folded line as a frame; its annotation becomes its kind."""
    kind = _SUFFIX.get(text[-4:], Kind.USER)
    name = unescape(text[:-4] if kind is not Kind.USER else text)
    if not (name.startswith("[") and name.endswith("]")) and not name.isspace():
        return Frame(name, "", kind)
    if kind is Kind.USER:
        return Frame(name, "", Kind.UNKNOWN)
    return Frame(name, "[kernel]" if kind is Kind.KERNEL else "", Kind.UNKNOWN if kind is Kind.KERNEL else kind)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
