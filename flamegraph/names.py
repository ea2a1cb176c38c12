"""Names of threads, functions and modules: folded, cleaned of compilers' suffixes, shortened, classified."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from flamegraph.frames import Frame, Kind

_NUMBERED = re.compile(r"(.*?\D)(\d+)\Z", re.DOTALL)
# kworker/0:1, kworker/u8:3-events: workers of the kernel, which no reader needs to tell apart.
_KWORKER = re.compile(r"kworker/.*", re.DOTALL)
# The hash of legacy Rust names; parts and copies that GCC and LLVM split off, also as demanglers write them.
_SUFFIX = re.compile(
    r"(?:::h[0-9a-f]{16}|\.(?:cold|constprop|isra|part|llvm|lto_priv)(?:\.\d+)*|\s*\[clone \.[^\]]*\])+\Z"
)
_BRACKETS = re.compile(r"operator(?:<=>|<<=?|>>=?|->\*?|[<>]=?)|->|[<>{}]|(?<!\.)\((?!anonymous namespace\))")
_DEPTH = {"<": 1, "{": 1, ">": -1, "}": -1}
_QUOTES = str.maketrans("", "", "\"'")
_JIT = re.compile(r"/perf-\d+\.map\Z|/jitted-\d+-\d+\.so\Z|\A\[JIT\]")
_KERNEL = re.compile(r"\A\[(?:guest\.)?kernel\b|(?:\A|/)vmlinux[^/]*\Z|\.ko(?:\.(?:gz|xz|zst))?\Z|\Abpf_prog_")
_USER_BRACKETS = re.compile(r"\A\[(?:vdso|vsyscall|vectors|uprobes|heap|stack|anon|unknown|JIT)", re.IGNORECASE)


def fold_names(names: Iterable[str]) -> dict[str, str]:
    """Folded name by name: `timer-0`, `timer-1` → `timer-N`. At least two numbers are needed: `python3` alone stays."""
    names = set(names)
    members: dict[str, set[str]] = {}
    for name in names:
        if numbered := _NUMBERED.match(name):
            members.setdefault(numbered[1], set()).add(name)
    folded = {name: name for name in names}
    folded |= {name: "kworker/N" for name in names if _KWORKER.match(name)}
    for prefix, group in members.items():
        if len(group) > 1 and not _KWORKER.match(prefix):
            folded |= dict.fromkeys(group, f"{prefix}N")
    return folded


def clean_name(name: str) -> str:
    """The name without the suffixes that compilers append: `tcp_ack.part.0.cold` → `tcp_ack`."""
    return _SUFFIX.sub("", name) or name


def same_frames(frames: Iterable[Frame]) -> list[Frame]:
    """For each frame the frame that represents it: equal clean names are one function, kernel and user space apart.

    The module is that of the first frame: a new version in the file name of a library is not a change of code.
    """
    found: dict[tuple[str, bool], Frame] = {}
    result = []
    for frame in frames:
        name = clean_name(frame.name)
        key = (name, frame.kind is Kind.KERNEL)
        result.append(found.setdefault(key, frame._replace(name=name)))
    return result


def tidy(symbol: str, *, java: bool) -> str:
    """Without parameters, quotes and `;`: `v8::Call(int)` → `v8::Call`.

    Java: `Ljava/io/Print;::out` → `java/io/Print:::out`.
    """
    name = symbol.replace(";", ":")
    if "(" in name:
        name = name[: _parameters(name)]
    name = name.translate(_QUOTES)
    return name.removeprefix("L") if java and "/" in name else name


def _parameters(name: str) -> int:
    """Where the parameters begin: at the first bracket outside of template arguments and lambda names (where
    FlameGraph's collapser, unlike inferno's, cuts too), except for a Go receiver: `net/http.(*Client).Do`.
    """
    depth = 0
    for found in _BRACKETS.finditer(name):
        if found[0] == "(" and depth <= 0:
            return found.start()
        depth += _DEPTH.get(found[0], 0)
    return len(name)


@lru_cache(1024)
def kind_of_module(module: str) -> Kind:
    """The kind of code in a module: `[kernel.kallsyms]`, `[nf_tables]`, `/tmp/perf-7.map`, `/bin/nginx`."""
    if _JIT.search(module):
        return Kind.JIT
    if _KERNEL.search(module) or (module.startswith("[") and not _USER_BRACKETS.search(module)):
        return Kind.KERNEL
    return Kind.USER
