"""Demangled names of C++ and Rust, without parameters and return types, as perf shows them.

The recursion depth of LLVM's demangler is controlled by the name, and back references double the output, so that a name
of 200 bytes can demand gigabytes of text. Such names are demangled in a separate process with limits, or not at all.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

_SHORT, _LONGEST = 2048, 16384
_REFERENCES = 24
_MAX_TEXT = 65536
_SECONDS = 5.0
_ATTEMPTS = 3

_SUFFIX = re.compile(r"(?<=.)\.(?:cold|constprop|isra|part|llvm|lto_priv|clone|localalias|resolver|\d)[\w.]*$")
_RUST_HASH = re.compile(r"17h[0-9a-f]{16}E")
_RUST_PART = re.compile(r"(\d+)")
_RUST_ESCAPES = {
    "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ",",
}  # fmt: skip
_RUST_ESCAPE = re.compile(r"\$(?:(SP|BP|RF|LT|GT|LP|RP|C)|u([0-9a-f]{1,6}))\$|(\.\.)")
_BACK = re.compile(r"[STB][0-9A-Za-z]*_|Dp|sp|sZ")

_CHILD = """
import resource, sys
sys.path[:0] = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import pycxxfilt
for name in sys.stdin.buffer.read().decode().split("\\0"):
    try:
        text = pycxxfilt.demangle(name) or ""
    except (ValueError, MemoryError):
        text = ""
    sys.stdout.buffer.write((text if len(text) <= 65536 else "").encode(errors="backslashreplace") + b"\\0")
    sys.stdout.buffer.flush()
"""


def demangle(name: str) -> str:
    """The demangled name; unchanged where it is not mangled or cannot be demangled."""
    return demangle_all([name])[0]


def demangle_all(names: list[str]) -> list[str]:
    """`demangle` for many names."""
    texts, risky = [], []
    for number, name in enumerate(names):
        texts.append(name)
        if not name.startswith(("_Z", "_R", "__Z", "__R")) or len(name) > _LONGEST:
            continue
        if _is_risky(name):
            risky.append(number)
        else:
            texts[number] = _demangled(name)
    if risky:
        found = _in_other_process([_split(names[number])[0] for number in risky])
        for number, text in zip(risky, found, strict=True):
            texts[number] = _bare(text, _split(names[number])[1]) if text else names[number]
    return texts


def _is_risky(name: str) -> bool:
    """Whether recursion depth or output of the demangler may be excessive.

    A name of L bytes with N references expands to at most L * 3^(N/3) bytes.
    """
    return len(name) > _SHORT or len(_BACK.findall(name)) > _REFERENCES


@lru_cache(maxsize=1 << 16)
def _demangled(name: str) -> str:
    rust = _legacy_rust(name)
    if rust is not None:
        return rust
    import pycxxfilt

    base, suffix = _split(name)
    try:
        text = pycxxfilt.demangle(base)
    except ValueError:
        text = None
    return _bare(text, suffix) if text and len(text) <= _MAX_TEXT else name


def _split(name: str) -> tuple[str, str]:
    """The mangled name, and the suffix that the compiler appended (`.cold`, `@plt`)."""
    plt = "@plt" if name.endswith("@plt") else ""
    base = name[: len(name) - len(plt)]
    dot = base.find(".")
    if dot > 0 and _SUFFIX.search(base, dot - 1):
        return base[:dot], base[dot:] + plt
    return base, plt


def _legacy_rust(name: str) -> str | None:
    """Rust before v0: nested C++ names whose last part is a hash; None for anything else."""
    if not name.startswith(("_ZN", "__ZN")):
        return None
    mark = _RUST_HASH.search(name)
    if mark is None:
        return None
    parts, at = [], name.index("N") + 1
    while at < mark.start():
        number = _RUST_PART.match(name, at)
        if number is None or len(number[1]) > 5:
            return None
        end = number.end() + int(number[1])
        parts.append(name[number.end() : end])
        at = end
    if at != mark.start() or not parts:
        return None
    return "::".join(map(_unescaped, parts)) + _rust_suffix(name[mark.end() :])


def _rust_suffix(suffix: str) -> str:
    return "" if suffix.startswith(".llvm.") else suffix


def _unescaped(part: str) -> str:
    if part.startswith("_$"):
        part = part[1:]
    return _RUST_ESCAPE.sub(_rust_character, part)


def _rust_character(match: re.Match[str]) -> str:
    if match[1]:
        return _RUST_ESCAPES[match[1]]
    if match[3]:
        return "::"
    code = int(match[2], 16)
    return chr(code) if code <= sys.maxunicode and not 0xD800 <= code < 0xE000 else match[0]


def _bare(text: str, suffix: str) -> str:
    return without_signature(text) + _rust_suffix(suffix)


def without_signature(text: str) -> str:
    """A demangled name without return type, parameters and qualifiers."""
    end = _parameters(text)
    if end is None:
        return text
    head = text[:end]
    return head[_return_type(head) :]


_QUALIFIERS = re.compile(r"(?: const| volatile| restrict| &&?| noexcept)+$")


def _parameters(text: str) -> int | None:
    """Index of the last parameter list; None where the text does not end in one."""
    text = _QUALIFIERS.sub("", text)
    if not text.endswith(")"):
        return None
    depth = 0
    for at in range(len(text) - 1, 0, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return at
    return None


_OPERATOR = re.compile(r"operator(?![\w])")
_QUALIFIER = re.compile(r"(?:const|volatile|restrict|&&?|noexcept)\b|[&]")


def _return_type(head: str) -> int:
    """Length of the return type before the name (of templates), with its space."""
    depth, begin = 0, 0
    at = 0
    while at < len(head):
        letter = head[at]
        if letter == "o" and depth == 0 and _OPERATOR.match(head, at) and (at == 0 or not head[at - 1].isalnum()):
            break
        if letter in "<([{":
            depth += 1
        elif letter in ">)]}" and not (letter == ">" and head[at - 1] == "-"):
            depth -= 1
        elif letter == " " and depth == 0 and not _belongs(head, at):
            begin = at + 1
        at += 1
    return begin


def _belongs(head: str, at: int) -> bool:
    """Whether a space is part of a name: `f() const::{lambda}`, `non-virtual thunk to f`."""
    if head.startswith(("vtable for", "non-virtual thunk to", "virtual thunk to", "guard variable for")):
        return True
    return head[at - 1] == ")" and _QUALIFIER.match(head, at + 1) is not None


def _in_other_process(names: list[str]) -> list[str]:
    """Demangle in another process; "" for names at which it failed."""
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        if len(found) >= len(names):
            break
        found += _child(names[len(found) :])
        if len(found) < len(names):
            found.append("")
    return found + [""] * (len(names) - len(found))


def _child(names: list[str]) -> list[str]:
    """The names that the process demangled before it ended."""
    import pycxxfilt

    home = str(Path(pycxxfilt.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", _CHILD, home]
    text = "\0".join(names).encode(errors="backslashreplace")
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=_SECONDS, check=False)
        out = done.stdout
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
    except (OSError, ValueError):
        out = b""
    return [piece.decode(errors="backslashreplace") for piece in out.split(b"\0")[:-1]][: len(names)]
